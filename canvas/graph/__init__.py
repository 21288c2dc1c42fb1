"""The meaning of a workflow: signature → graph of steps → checked → messages. No I/O; the only user of networkx."""
