"""Nodes that run a task once for each item of a list: their items, their lanes, and lines of such nodes."""
