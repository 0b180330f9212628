"""Models beside each other: how well, how large and how fast they are, on datasets."""
