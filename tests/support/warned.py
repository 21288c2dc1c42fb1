"""Warnings in tests."""

import warnings
from contextlib import contextmanager


@contextmanager
def warnings_are_errors():
    """Raise each warning of the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # What other tests have left open is collected at any time.
        warnings.simplefilter("ignore", ResourceWarning)
        yield
