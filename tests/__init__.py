"""Processes that tests start keep what they compile, also where the environment would have each of them compile it anew."""

import os
import sys

sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
