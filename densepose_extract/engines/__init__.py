"""The engines of stage one: where I, U, V maps come from."""
