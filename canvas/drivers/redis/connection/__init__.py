"""Connections to a Redis server: commands, subscriptions, event loops, forks."""
