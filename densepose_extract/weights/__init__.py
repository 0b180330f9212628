"""The checkpoints of stage one: obtained by name or path, read without running code in them, fitted to the network."""
