"""Where features look, and which body region changes them."""
