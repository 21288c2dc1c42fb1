"""Pictures of workflows: text, SVG, Mermaid, DOT."""
