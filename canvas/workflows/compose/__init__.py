"""Composing workflows: nodes, references to their results, decorated functions, networkx graphs."""
