"""Tasks that note their hooks, signals and error callbacks, defined with canvas or with real Celery.

``APP_LIBRARY``, ``APP_BROKER``, ``APP_BACKEND`` and ``APP_LEDGER`` (a Redis URL for the notes) decide, as in ``apps``.
"""

import json
import os
from importlib import import_module

import redis


def make(library, broker, backend, ledger):
    lib = __import__(library)
    options = {"broker": broker, "backend": backend, "set_as_current": False}
    app = lib.Celery("hooked", **options) if library == "celery" else lib.Canvas("hooked", **options)
    app.conf.update(broker_connection_retry_on_startup=True, worker_prefetch_multiplier=1)
    exceptions = import_module(f"{library}.exceptions")
    define(app, lib, exceptions, redis.Redis.from_url(ledger))
    return app


def about(einfo):
    """What an ``ExceptionInfo`` shows, without the names of modules and files."""
    shown = str(einfo).strip().splitlines()
    names = [type(einfo), einfo.type, type(einfo.exception), type(einfo.exception.exc)]
    last = shown[-1].rpartition(".")[2] if "Retry" not in shown[-1] else shown[-1].partition("Retry: ")[2]
    return [*(name.__name__ for name in names), last, einfo.traceback in einfo.exception.tb]


def define(app, lib, exceptions, ledger):
    def note(key, *what):
        if key:
            ledger.rpush(f"ledger:{key}", json.dumps(what, default=repr))

    class Hooked(lib.Task):
        def note(self, hook, *what):
            kwargs = self.request.kwargs
            note(kwargs.get("key"), hook, self.request.retries, *what)
            if kwargs.get("raises") == hook:
                raise {"error": RuntimeError, "exit": SystemExit, "ignore": exceptions.Ignore}[kwargs["kind"]](hook)

        def before_start(self, task_id, args, kwargs):
            self.note("before_start", task_id == self.request.id)

        def on_success(self, retval, task_id, args, kwargs):
            self.note("on_success", retval, args)

        def on_failure(self, exc, task_id, args, kwargs, einfo):
            self.note("on_failure", repr(exc), *about(einfo))

        def on_retry(self, exc, task_id, args, kwargs, einfo):
            self.note("on_retry", repr(exc), *about(einfo))

        def after_return(self, status, retval, task_id, args, kwargs, einfo):
            self.note("after_return", status, type(retval).__name__, einfo)

    def end_as(self, end):
        if end == "fail":
            raise ValueError("root cause")
        if end == "retry" and not self.request.retries:
            raise self.retry(countdown=0, exc=KeyError("once more"))
        if end == "autoretry" and not self.request.retries:
            raise ConnectionError("again")
        if end == "ignore":
            raise exceptions.Ignore("not now")
        if end == "reject":
            raise exceptions.Reject("not here", requeue=False)
        if end == "replace":
            raise self.replace(app.tasks["add"].si(1, 1))
        return object() if end == "unwritable" else 1

    again = {"autoretry_for": (ConnectionError,), "retry_kwargs": {"countdown": 0}}
    options = {"base": Hooked, "bind": True, "shared": False, **again}

    @app.task(name="work", **options)
    def work(self, end="value", raises=None, kind="error", key=None):
        return end_as(self, end)

    @app.task(name="add", shared=False)
    def add(x, y):
        return x + y

    @app.task(name="total", shared=False)
    def total(values):
        return sum(values)

    @app.task(name="fail", shared=False)
    def fail():
        raise ValueError("root cause")

    define_errbacks(app, lib, note)
    define_users_of_the_current_app(app, lib)
    note_signals(app, lib, note)
    if not type(app).__module__.startswith("celery"):
        define_coroutines(app, options, end_as, note)


def define_errbacks(app, lib, note):
    def shown(value):
        return "request" if hasattr(value, "errbacks") else type(value).__name__

    def told(name, *args, **kwargs):
        note(kwargs.pop("key", None), name, [shown(arg) for arg in args], sorted(kwargs))

    def by_id(task_id, key):
        told("by_id", task_id, key=key)

    def by_id_with_label(task_id, label, key):
        told("by_id_with_label", task_id, key=key, label=label)

    def by_request(request, exc, traceback, key):
        told("by_request", request, exc, traceback, key=key)

    def any_args(*args, key):
        told("any_args", *args, key=key)

    def any_kwargs(task_id, **kwargs):
        told("any_kwargs", task_id, **kwargs)

    def bound(self, task_id, label="", key=None):
        told("bound", task_id, key=key, label=label)

    def label_first(label, task_id, exc, key):
        told("label_first", task_id, exc, key=key, label=label)

    for function in (by_id, by_id_with_label, by_request, any_args, any_kwargs, label_first):
        app.task(name=function.__name__, shared=False)(function)
    app.task(name="bound", bind=True, shared=False)(bound)

    class ByClass(lib.Task):
        name = "by_class"

        def run(self, task_id, label="", key=None):
            told("by_class", task_id, key=key, label=label)

    app.register_task(ByClass())


def define_users_of_the_current_app(app, lib):
    result = import_module(f"{lib.__name__}.result")

    @app.task(name="which", shared=False)
    def which():
        return [lib.current_app.main, bool(lib.current_task)]

    @app.task(name="state_of", shared=False)
    def state_of(task_id):
        return result.AsyncResult(task_id).state

    @app.task(name="send_shared", shared=False)
    def send_shared(x):
        return shared_one.delay(x).id

    @app.task(name="send_by_name", shared=False)
    def send_by_name(x):
        return lib.signature("add", args=(x, 1)).apply_async().id


def shared_one(x):
    """A shared task, in a worker."""
    return x


def define_coroutines(app, options, end_as, note):
    import asyncio
    import threading

    @app.task(name="awork", **options)
    async def awork(self, end="value", raises=None, kind="error", key=None):
        await asyncio.sleep(0)
        return end_as(self, end)

    @app.task(name="adouble", shared=False)
    async def adouble(x):
        await asyncio.sleep(0)
        return 2 * x

    @app.task(name="aadd", shared=False)
    async def aadd(x, y):
        await asyncio.sleep(0)
        return x + y

    @app.task(name="loop_of", shared=False)
    async def loop_of(x):
        return [threading.get_ident(), id(asyncio.get_running_loop())]

    @app.task(name="on_error", shared=False)
    async def on_error(request, exc, traceback, key):
        await asyncio.sleep(0)
        note(key, str(exc), app.current_task.name, [threading.get_ident(), id(asyncio.get_running_loop())])

    @app.task(name="afail", shared=False)
    async def afail():
        raise ValueError("root cause")


def note_signals(app, lib, note):
    """Each signal of a task, with what its receiver finds of the task."""

    def noted(name):
        def receive(sender=None, **given):
            kwargs = given.get("kwargs") or getattr(given.get("request") or sender.request, "kwargs", None) or {}
            request, current = sender.request, app.current_task
            more = [given["state"], type(given["retval"]).__name__] if name == "task_postrun" else []
            found = [request.id is not None, request.called_directly, current is not None and current.name]
            note(kwargs.get("key"), name, request.retries, *found, *more)

        return receive

    signals = import_module(f"{lib.__name__}.signals")
    for name in ("task_prerun", "task_success", "task_failure", "task_retry", "task_postrun"):
        getattr(signals, name).connect(noted(name), weak=False)


if "APP_LIBRARY" in os.environ:
    app = make(*(os.environ[f"APP_{name}"] for name in ("LIBRARY", "BROKER", "BACKEND", "LEDGER")))
    lib = import_module(os.environ["APP_LIBRARY"])
    shared_one = lib.shared_task(name="shared_one")(shared_one)
    # As a library's app, made last; its server is not there.
    nowhere = "redis://127.0.0.1:1/0"
    other = (lib.Celery if lib.__name__ == "celery" else lib.Canvas)("other", broker=nowhere, backend=nowhere)
