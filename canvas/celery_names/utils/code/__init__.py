"""Helpers about code: types in annotations, deprecations, memory and threads."""
