"""Runs messages: lease, decode, execute, settle, in one straight line; and the services beside it."""
