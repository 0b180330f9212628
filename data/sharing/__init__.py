"""Sharing of a dataset's maps and part images between two clones: one archive with digests."""
