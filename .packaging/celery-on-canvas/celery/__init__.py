"""The name ``celery``, served by canvas."""

import importlib
import sys

del sys.modules[__name__]
importlib.import_module("canvas.as_celery")
sys.modules[__name__] = importlib.import_module("celery")
