"""The commands about periodic tasks: ``canvas beat`` and ``canvas schedule``."""
