"""Stage one: DensePose over every picture of a dataset, kept as I, U, V maps."""
