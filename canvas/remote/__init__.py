"""Talk to workers: remote control and events."""
