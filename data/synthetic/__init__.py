"""The synthetic dataset: people made of posed solids that carry the 24 DensePose charts, rendered by ray casting."""
