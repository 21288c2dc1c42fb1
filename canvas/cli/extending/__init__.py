"""Options, types and commands that apps and plug-ins add to the command line."""
