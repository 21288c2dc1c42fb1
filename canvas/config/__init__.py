"""Settings: names, kinds, defaults, and where their values come from."""
