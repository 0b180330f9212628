"""The synthetic dataset: people of posed solids with the 24 DensePose charts on them, rendered by ray casting."""
