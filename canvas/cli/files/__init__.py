"""Commands that work on files: logs and settings."""
