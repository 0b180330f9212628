"""The datasets and their manifests, the synthetic dataset, and the HDF5 stores of what is computed from them."""
