"""Redis Cluster: its nodes, and clients that follow a slot from node to node (docs/decisions/0024)."""
