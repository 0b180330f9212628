"""Stage one: DensePose over every image of a dataset, kept as I, U, V maps."""
