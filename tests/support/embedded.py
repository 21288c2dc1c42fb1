"""The app of ``tests.support.beats``, as a worker's ``-A``."""

import os

from tests.support.beats import make_app

app = make_app(os.environ["APP_BROKER"], os.environ["APP_BACKEND"])
