"""A worker's log: handlers, formats, the lines of tasks."""
