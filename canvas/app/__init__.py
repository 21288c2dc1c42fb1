"""The app object that users hold: its settings, its tasks, its services."""
