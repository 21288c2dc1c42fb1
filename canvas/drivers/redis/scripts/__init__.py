"""The Lua scripts, and the two sides of a call: arguments and replies."""
