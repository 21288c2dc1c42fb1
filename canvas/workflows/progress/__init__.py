"""Runs as they go: which nodes run, how many items of maps have ended, which failure stopped other nodes."""
