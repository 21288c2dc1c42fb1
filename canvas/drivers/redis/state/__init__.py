"""The state, in Redis, of messages that another broker carries."""
