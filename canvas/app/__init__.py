"""The object users hold: settings, tasks, services; and what registers on it."""
