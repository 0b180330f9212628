"""Features of folders and galleries, and searching them."""
