"""What apps and plug-ins add to the command line."""
