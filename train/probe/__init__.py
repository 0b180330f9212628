"""Whether a dataset's maps improve local features, measured on frozen features and a head in closed form."""
