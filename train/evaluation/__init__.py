"""Features, distances, rankings and the field's measures."""
