"""One set of tasks, defined with canvas or with real Celery: run as a worker's app or used as a client.

The environment decides: ``APP_LIBRARY`` (canvas or celery), ``APP_BROKER``, ``APP_BACKEND``, ``APP_SERIALIZER``,
``APP_LEDGER`` (a Redis URL where every execution is counted), and the names in ``SETTINGS``.
"""

import ast
import json
import os
import weakref

import redis

from tests.support.interventions import intervene
from tests.support.tasks import composites, coroutines, durations, ends, limits, requests, retries, values
from tests.support.tasks.kit import Kit

OF_CANVAS = (limits, coroutines)
"""Tasks that Celery cannot run, or whose limits it does not know."""
HIDDEN = {
    "compressed": {"result_compression": "gzip"},
    "pickled": {"result_serializer": "pickle", "accept_content": ["json", "pickle"]},
}
"""Settings with which results are stored in a form that the server cannot read."""
SETTINGS = {
    "APP_MORE": json.loads,
    "APP_ACKS_LATE": lambda _: {"task_acks_late": True},
    "APP_VISIBILITY": lambda seconds: {"broker_transport_options": {"visibility_timeout": int(seconds)}},
    "APP_CONSUMER_TIMEOUT": lambda seconds: {"broker_transport_options": {"consumer_timeout": float(seconds)}},
    "APP_LOST": lambda _: {"task_reject_on_worker_lost": True},
    "APP_STATE": lambda url: {"canvas_state": url},
    "APP_QUEUE_TYPE": lambda kind: {"task_default_queue_type": kind},
    "APP_BROKER_SHARDS": lambda shards: {"broker_shards": ast.literal_eval(shards)},
    "APP_SENT_EVENTS": lambda _: {"task_send_sent_event": True},
    "APP_ONE_AHEAD": lambda _: {"worker_prefetch_multiplier": 1},
    "APP_PREFETCH_SECONDS": lambda seconds: {"worker_prefetch_seconds": float(seconds)},
    "APP_SHORT_LEASES": lambda _: {"worker_lease_ttl": 2.0, "worker_lease_heartbeat": 0.5},
    "APP_MASTER": lambda name: {
        f"{which}_transport_options": {"master_name": name} for which in ("broker", "result_backend")
    },
    "APP_SIGNING": lambda keys: {"message_signing_keys": keys.split(",")},
    "APP_UNSIGNED_TOO": lambda _: {"message_signature_required": False},
    "APP_RESTARTS": lambda _: {"worker_pool_restarts": True},
    "APP_EXPIRES": lambda seconds: {"result_expires": int(seconds)},
    "APP_RUN_EXPIRES": lambda seconds: {"workflow_run_expires": int(seconds)},
    "APP_HIDDEN": HIDDEN.__getitem__,
    "APP_ACKS_ON_FAILURE": lambda _: {"task_acks_on_failure_or_timeout": False},
}
"""Variables of the environment, and the settings that each gives with its text."""


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
        app.loader.override_backends = {"redis": "tests.support.subscribed:SubscribedBackend"}
        _celery_apps.add(app)
        app.conf.update(worker_hijack_root_logger=True, broker_connection_retry_on_startup=True, **options)
        exceptions = celery.exceptions
    else:
        import canvas
        import canvas.errors as exceptions

        app = canvas.Canvas("apps", broker=broker, backend=backend, **options)
    kit = Kit(app, exceptions, redis.Redis.from_url(ledger) if ledger else None)
    for tasks in (values, requests, retries, durations, ends, composites, *(OF_CANVAS if library == "canvas" else ())):
        tasks.define(kit)
    if library == "canvas" and backend.startswith("rpc") and "canvas_state" not in settings:
        for task in app.tasks.regular().values():
            # Without shared state a worker refuses these.
            task.concurrency_limit = task.unique_for = task.rate_limit = None
    return app


_celery_apps = weakref.WeakSet()


def let_results_go():
    """Before a server stops: Celery's results unsubscribe when they are deleted, at any time, and try for 20 seconds to
    reach a server that is gone."""
    for app in list(_celery_apps):
        subscribed = getattr(getattr(app.backend, "result_consumer", None), "subscribed_to", None)
        if subscribed is not None:
            subscribed.clear()


def made_from_environment():
    settings = {}
    for name, of in SETTINGS.items():
        if os.environ.get(name):
            settings.update(of(os.environ[name]))
    serializer, ledger = os.environ.get("APP_SERIALIZER", "json"), os.environ.get("APP_LEDGER")
    broker, backend = os.environ["APP_BROKER"] or None, os.environ["APP_BACKEND"]
    return make(os.environ["APP_LIBRARY"], broker, backend, serializer, ledger, **settings)


intervene()
if "APP_LIBRARY" in os.environ:
    app = made_from_environment()
