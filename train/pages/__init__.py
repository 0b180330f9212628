"""Self-contained pages of results for people to read in a browser, from a file."""
