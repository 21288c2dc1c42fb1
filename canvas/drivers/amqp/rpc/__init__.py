"""Results as messages to the process that sent the task: ``rpc://`` (protocol.md §4.3)."""
