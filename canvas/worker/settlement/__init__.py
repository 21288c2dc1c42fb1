"""The effects of a task's end: successors, chord parts, error callbacks, records."""
