"""The demonstration behind ``canvas demo``: words of Python's own library, counted by a workflow."""
