"""I, U, V maps from body landmarks and a person mask: no DensePose network is needed."""
