"""The command `canvas demo`."""
