"""What the end of a task does: successors, chord parts, error callbacks, records."""
