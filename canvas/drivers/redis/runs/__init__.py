"""Runs of workflows on Redis."""
