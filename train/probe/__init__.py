"""What a dataset's maps are worth to local features, from frozen features and a head in closed form."""
