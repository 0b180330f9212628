"""Stage three: the two-stream training, its evaluation, and what is kept of it."""
