"""An app whose router raises for some tasks, as a worker's app and as a client."""

import os
import sys

import redis

from canvas import Canvas

BROKEN_QUEUE = "broken"
"""The tests give the key of this queue another type, so that Redis refuses each message for it."""


def route(name, args, kwargs, options, task=None, **more):
    if name == "m.no_route":
        raise KeyError(name)
    if name == "m.exits":
        sys.exit(3)
    return {"queue": BROKEN_QUEUE} if name == "m.refused" else None


def make(broker, backend, ledger):
    app = Canvas("misrouted", broker=broker, backend=backend, task_routes=[route])
    notes = redis.Redis.from_url(ledger)

    def note(key):
        notes.rpush(f"ledger:{key}", "1")

    for name in ("no_route", "exits", "refused"):
        app.task(name=f"m.{name}", shared=False)(lambda value=None: value)

    @app.task(name="m.ident", shared=False)
    def ident(value):
        return value

    @app.task(name="m.fail", shared=False)
    def fail():
        raise ValueError("boom")

    @app.task(name="m.told", shared=False)
    def told(task_id, key):
        note(key)

    return app


if "APP_BROKER" in os.environ:
    app = make(os.environ["APP_BROKER"], os.environ["APP_BACKEND"], os.environ["APP_LEDGER"])
