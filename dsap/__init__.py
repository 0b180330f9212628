"""Stage two: the warp of each picture into 24 densely semantically aligned part pictures (DSAP)."""
