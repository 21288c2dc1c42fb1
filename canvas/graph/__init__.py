"""What a workflow means: signature → graph of steps → checked → messages. Pure; the only user of networkx."""
