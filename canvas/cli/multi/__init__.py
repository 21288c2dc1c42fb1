"""``canvas multi``: several workers on one machine, in the background."""
