"""A task: its attributes, its options, its arguments, its limits."""
