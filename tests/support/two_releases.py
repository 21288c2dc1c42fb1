"""Two releases of one program: ``APP_RELEASE`` 1 has the tasks of the old one, 2 those of the new one."""

import os
import time

import redis

from canvas import Canvas

app = Canvas("releases", broker=os.environ.get("APP_BROKER"), backend=os.environ.get("APP_BACKEND"))


def register(app, release, ledger=None):
    """Register the tasks of a release."""

    @app.task(name="shared")
    def shared(value):
        return [release, value]

    def held(value, key):
        """Runs until the test opens it."""
        notes = redis.Redis.from_url(ledger)
        notes.rpush(f"ledger:{key}", value)
        deadline = time.monotonic() + 60
        while not notes.exists(f"open:{key}") and time.monotonic() < deadline:
            time.sleep(0.01)
        return value

    if release == "1":
        app.task(name="removed")(lambda value: ["removed", value])
    else:
        app.task(name="added")(lambda value: ["added", value])
        app.task(name="held")(held)
    return app


if "APP_RELEASE" in os.environ:
    register(app, os.environ["APP_RELEASE"], os.environ.get("APP_LEDGER"))
