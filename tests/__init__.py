"""Processes that tests start keep what they compile, also where the environment would have each of them compile it anew."""

import os
import sys

import pytest

sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# The contract's asserts are in canvas, whose modules pytest does not rewrite.
pytest.register_assert_rewrite("canvas.testing.contract")
