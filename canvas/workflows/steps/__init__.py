"""The next steps of a run: what a settlement adds for them when a node of the run ends."""
