"""The command `canvas worker`."""
