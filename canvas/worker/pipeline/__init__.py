"""One delivery, from its bytes to its settlement."""
