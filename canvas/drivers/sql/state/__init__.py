"""The state, in SQL, of messages that another broker carries."""
