"""Stage two: the warp of each image into 24 densely semantically aligned part images (DSAP)."""
