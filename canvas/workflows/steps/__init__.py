"""The next steps of a run: the messages and records that a settlement adds when a node of the run ends."""
