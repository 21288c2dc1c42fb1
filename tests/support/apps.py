"""One set of tasks, defined with canvas or with real Celery: run as a worker's app or used as a client.

The environment decides: ``APP_LIBRARY`` (canvas or celery), ``APP_BROKER``, ``APP_BACKEND``, ``APP_SERIALIZER``,
``APP_LEDGER`` (a Redis URL where every execution is counted).
"""

import os
import time
from decimal import Decimal

import redis


def make(library, broker, backend, serializer="json", ledger=None, **settings):
    """An app with the test tasks."""
    options = {
        "task_serializer": serializer,
        "result_serializer": serializer,
        "accept_content": ["json", "msgpack"],
        "result_expires": 3600,
        **settings,
    }
    if library == "celery":
        import celery

        app = celery.Celery("apps", broker=broker, backend=backend, set_as_current=False)
        app.conf.update(worker_hijack_root_logger=True, broker_connection_retry_on_startup=True, **options)
        exceptions = celery.exceptions
    else:
        import canvas
        import canvas.errors as exceptions

        app = canvas.Canvas("apps", broker=broker, backend=backend, **options)
    define(app, exceptions, redis.Redis.from_url(ledger) if ledger else None)
    return app


def define(app, exceptions, ledger):
    def note(key, value="1"):
        if ledger is not None:
            ledger.rpush(f"ledger:{key}", value)
            ledger.expire(f"ledger:{key}", 600)

    @app.task(name="t.add")
    def add(x, y):
        return x + y

    @app.task(name="t.mul")
    def mul(x, y):
        return x * y

    @app.task(name="t.ident")
    def ident(x):
        return x

    @app.task(name="t.tsum")
    def tsum(values):
        return sum(values)

    @app.task(name="t.rec")
    def rec(tag, *args, **kwargs):
        return [tag, list(args), kwargs]

    @app.task(name="t.noted")
    def noted(value, key):
        note(key, repr(value))
        return value

    @app.task(name="t.fail")
    def fail(*args):
        raise ValueError("boom", 42)

    @app.task(name="t.kinds")
    def kinds(value):
        return [type(value).__name__, value]

    @app.task(name="t.price")
    def price():
        return Decimal("1.50")

    @app.task(name="t.where", bind=True)
    def where(self, *args):
        return {
            "library": type(app).__module__.split(".")[0],
            "id": self.request.id,
            "root_id": self.request.root_id,
            "parent_id": self.request.parent_id,
            "group": self.request.group,
            "hostname": self.request.hostname,
        }

    @app.task(name="t.sleep")
    def sleep(seconds, value=None):
        time.sleep(seconds)
        return value

    @app.task(name="t.quiet", ignore_result=True)
    def quiet(key):
        note(key)

    @app.task(name="t.errback_by_id")
    def errback_by_id(task_id, key):
        note(key, task_id)

    @app.task(name="t.errback_by_request")
    def errback_by_request(request, exc, traceback, key):
        note(key, f"{request.id}|{type(exc).__name__}")

    @app.task(name="t.slow_then", bind=True)
    def slow_then(self, seconds, key):
        note(key, "start")
        time.sleep(seconds)
        note(key, "end")
        return key

    @app.task(name="t.suicidal")
    def suicidal(key):
        note(key, "ran")
        os.kill(os.getpid(), 9)

    @app.task(name="t.flaky", bind=True, max_retries=5)
    def flaky(self, times):
        if self.request.retries < times:
            raise self.retry(countdown=0.1, exc=RuntimeError("again"))
        return self.request.retries

    @app.task(name="t.ignored")
    def ignored():
        raise exceptions.Ignore()

    @app.task(name="t.rejected")
    def rejected():
        raise exceptions.Reject("no thanks", requeue=False)


if "APP_LIBRARY" in os.environ:
    app = make(
        os.environ["APP_LIBRARY"],
        os.environ["APP_BROKER"],
        os.environ["APP_BACKEND"],
        os.environ.get("APP_SERIALIZER", "json"),
        os.environ.get("APP_LEDGER"),
    )
