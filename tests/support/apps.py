"""One set of tasks, defined with canvas or with real Celery: run as a worker's app or used as a client.

The environment decides: ``APP_LIBRARY`` (canvas or celery), ``APP_BROKER``, ``APP_BACKEND``, ``APP_SERIALIZER``,
``APP_LEDGER`` (a Redis URL where every execution is counted).
"""

import ast
import asyncio
import ctypes
import datetime
import importlib
import itertools
import json
import os
import re
import sys
import threading
import time
import weakref
from contextvars import ContextVar
from decimal import Decimal
from functools import partial

import redis

from tests.support import odd
from tests.support.models import Item, Order

SEEN = ContextVar("seen", default=None)

HIDDEN = {
    "compressed": {"result_compression": "gzip"},
    "pickled": {"result_serializer": "pickle", "accept_content": ["json", "pickle"]},
}
"""Settings with which results are stored in a form that the server cannot read."""


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
    define(app, exceptions, redis.Redis.from_url(ledger) if ledger else None)
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


def define(app, exceptions, ledger):
    # Apps of one process must not see each other's functions.
    task = partial(app.task, shared=False)

    def note(key, value="1"):
        if ledger is not None:
            ledger.rpush(f"ledger:{key}", value)
            ledger.expire(f"ledger:{key}", 600)

    @task(name="t.add")
    def add(x, y):
        return x + y

    @task(name="t.mul")
    def mul(x, y):
        return x * y

    @task(name="t.ident")
    def ident(x):
        return x

    @task(name="t.tsum")
    def tsum(values):
        return sum(values)

    @task(name="t.rec")
    def rec(tag, *args, **kwargs):
        return [tag, list(args), kwargs]

    @task(name="t.traced", bind=True)
    def traced(self, value, key):
        note(key, f"{self.request.id} {os.getpid()} {time.time():.3f}")
        time.sleep(0.005)
        return (sum(value) if isinstance(value, list) else value) + 1

    @task(name="t.traced_twice", bind=True, max_retries=5)
    def traced_twice(self, value, key):
        note(key, f"{self.request.id}.{self.request.retries} {os.getpid()} {time.time():.3f}")
        if self.request.retries < 2:
            raise self.retry(countdown=0.1)
        return value + 1

    @task(name="t.long_text")
    def long_text(size):
        return "x" * size

    @task(name="t.inner", bind=True, max_retries=2)
    def inner(self, value):
        if value == "retry":
            raise self.retry(exc=ValueError("inner"), countdown=0)
        request = self.request
        return [value, request.id, request.called_directly, request.retries, list(request.args or ())]

    @task(name="t.outer", bind=True)
    def outer(self, value, key):
        note(key, "outer")
        return [inner(value), self.request.id is not None, self.request.called_directly]

    @task(name="t.again", bind=True)
    def again(self, depth):
        about = [self.request.id is not None, self.request.called_directly, list(self.request.args)]
        return [about, *(self(depth - 1) if depth else [])]

    @task(name="t.sends_one")
    def sends_one(value):
        return ident.delay(value)

    @task(name="t.noted")
    def noted(value, key):
        note(key, repr(value))
        return value

    @task(name="t.fail")
    def fail(*args):
        raise ValueError("boom", 42)

    @task(name="t.odd")
    def odd_(kind):
        return {**odd.BREAKS_OFF, **odd.FAILS}[kind]()

    @task(name="t.step", bind=True)
    def step(self, *args, tag, run, fails=False, **more):
        request = self.request
        found = {
            "tag": tag,
            "args": [*args, more],
            "id": request.id,
            "root": request.root_id,
            "parent": request.parent_id,
        }
        note(run, json.dumps({**found, "group_index": request.group_index}))
        if fails:
            raise ValueError(tag)
        return f"{tag}({', '.join(map(_shown, [*args, *sorted(more.items())]))})"

    @task(name="t.step_failed", bind=True)
    def step_failed(self, task_id, tag, run):
        request = self.request
        found = {"tag": tag, "args": [task_id], "id": request.id, "root": request.root_id, "parent": request.parent_id}
        note(run, json.dumps({**found, "group_index": request.group_index}))

    @task(name="t.item")
    def item(about):
        tag, run, fails = about
        note(run, json.dumps({"tag": tag, "args": [], "id": None, "root": None, "parent": None, "group_index": None}))
        if fails:
            raise ValueError(tag)
        return tag

    @task(name="t.slow_step")
    def slow_step(seconds, key, name, *args):
        note(key, name)
        time.sleep(seconds)
        return name

    @task(name="t.gated")
    def gated(*args, key):
        note(key, repr(args))
        if not ledger.exists(f"open:{key}"):
            raise ValueError("closed")
        return list(args)

    @task(name="t.needs_gate")
    def needs_gate(item, counts, key):
        note(counts, repr(item))
        if item in (2, [3]) and not ledger.exists(f"open:{key}"):
            raise ValueError("closed")
        return item

    @task(name="t.upto")
    def upto(n):
        return list(range(n))

    @task(name="t.parts")
    def parts(x):
        return {"x": x, "pair": [x, x + 1]}

    @task(name="t.kinds")
    def kinds(value):
        return [type(value).__name__, value]

    @task(name="t.price")
    def price():
        return Decimal("1.50")

    @task(name="t.where", bind=True)
    def where(self, *args):
        return {
            "library": type(app).__module__.split(".")[0],
            "id": self.request.id,
            "root_id": self.request.root_id,
            "parent_id": self.request.parent_id,
            "group": self.request.group,
            "hostname": self.request.hostname,
        }

    @task(name="t.sleep")
    def sleep(seconds, value=None):
        time.sleep(seconds)
        return value

    @task(name="t.hold")
    def hold(seconds):
        """Keep the interpreter for so long: a function of C that does not release its lock."""
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))

    @task(name="t.quiet", ignore_result=True)
    def quiet(key):
        note(key)

    @task(name="t.errback_by_id")
    def errback_by_id(task_id, key):
        note(key, task_id)

    @task(name="t.errback_by_request")
    def errback_by_request(request, exc, traceback, key):
        note(key, f"{request.id}|{type(exc).__name__}")

    @task(name="t.errback_that_looks")
    def errback_that_looks(request, exc, traceback, key):
        note(key, app.AsyncResult(request.id).state)

    @task(name="t.slow_then", bind=True)
    def slow_then(self, seconds, key):
        note(key, "start")
        time.sleep(seconds)
        note(key, "end")
        return key

    def is_open(key):
        return ledger.exists(f"open:{key}")

    def wait_until_open(key):
        deadline = time.monotonic() + 60
        while not is_open(key):
            if time.monotonic() > deadline:
                raise TimeoutError(f"open:{key} was not set in 60 s")
            time.sleep(0.02)

    @task(name="t.until_open")
    def until_open(key):
        note(key, "start")
        wait_until_open(key)
        note(key, "end")
        return key

    @task(name="t.held_item")
    def held_item(item, key, held):
        note(key, repr(item))
        if item == held:
            wait_until_open(key)
        return item

    @task(name="t.page_of")
    def page_of(cursor, items, size, key):
        """A page of the numbers below ``items``, which notes where it began."""
        begin = cursor or 0
        note(key, begin)
        after = begin + size if begin + size < items else None
        return {"items": list(range(begin, min(items, begin + size))), "next": after}

    @task(name="t.paused")
    def paused(item, key):
        note(key, "start")
        time.sleep(0.01)
        note(key, "end")
        return item

    @task(name="t.suicidal")
    def suicidal(key):
        note(key, "ran")
        os.kill(os.getpid(), 9)

    @task(name="t.flaky", bind=True, max_retries=5)
    def flaky(self, times):
        if self.request.retries < times:
            raise self.retry(countdown=0.1, exc=RuntimeError("again"))
        return self.request.retries

    @task(name="t.retried_once", bind=True)
    def retried_once(self, seconds, value):
        if not self.request.retries:
            raise self.retry(countdown=seconds, exc=RuntimeError("again"))
        return value

    def signature(data):
        return app.signature(data)

    @task(name="t.swap", bind=True)
    def swap(self, *args):
        *given, data = args
        sig = signature(data)
        if sig.subtask_type is None:
            sig = sig.clone(tuple(given))
        elif given:
            sig = app.tasks["t.ident"].s(*given) | sig
        return self.replace(sig)

    @task(name="t.swap_again", bind=True)
    def swap_again(self, data):
        return self.replace(app.tasks["t.swap"].s(data))

    @task(name="t.grow", bind=True)
    def grow(self, value, *data):
        for one in data:
            self.add_to_chord(signature(one))
        return value

    @task(name="t.context", bind=True)
    def context(self, *args):
        request = self.request
        names = ("id", "root_id", "parent_id", "group", "group_index", "replaced_task_nesting", "stamps")
        return {name: getattr(request, name) for name in names}

    @task(name="t.priority", bind=True)
    def priority(self, *args):
        return self.request.properties["priority"] if hasattr(self.request, "properties") else None

    @task(name="t.options", bind=True)
    def options(self):
        request = self.request
        found = {name: getattr(request, name) for name in ("shadow", "timelimit", "expires", "mine")}
        return {**found, "priority": request.delivery_info["priority"]}

    @task(name="t.sends", bind=True)
    def sends(self, value):
        app.tasks["t.where"].delay(value)
        return "sent"

    @task(name="t.retry_beside", bind=True)
    def retry_beside(self, key):
        note(key, self.request.retries)
        if self.request.retries == 0:
            self.retry(throw=False, countdown=0)
        return "done"

    @task(name="t.retry_raised", bind=True)
    def retry_raised(self, key):
        note(key, self.request.retries)
        if self.request.retries == 0:
            raise self.retry(throw=False, countdown=0)
        return "done"

    @task(name="t.retry_returned", bind=True)
    def retry_returned(self):
        return self.retry(throw=False, countdown=0) if self.request.retries == 0 else "again"

    @task(name="t.retry_for", bind=True, max_retries=1)
    def retry_for(self, how, key):
        note(key, self.request.retries)
        if how == "without self.retry":
            raise exceptions.Retry("by itself")
        raise self.retry(
            exc={"text": "words", "class": LookupError, "exception": LookupError("given")}[how], countdown=0
        )

    @task(name="t.stamps_after_retry", bind=True)
    def stamps_after_retry(self):
        if self.request.retries == 0:
            raise self.retry(countdown=0)
        return self.request.stamps

    @task(name="t.progress", bind=True)
    def progress(self, key):
        self.update_state(state="PROGRESS", meta={"done": 1})
        note(key, app.AsyncResult(self.request.id).state)
        return "done"

    @task(name="t.auto", bind=True, autoretry_for=(KeyError,), retry_kwargs={"max_retries": 3, "countdown": 0})
    def auto(self, failures, key):
        note(key, str(self.request.retries))
        if self.request.retries < failures:
            raise KeyError("again")
        return self.request.retries

    @task(name="t.auto_item", autoretry_for=(KeyError,), retry_kwargs={"max_retries": 2, "countdown": 0})
    def auto_item(item, calls, key):
        note(key, str(item))
        if ledger.llen(f"ledger:{key}") < calls:
            raise KeyError("again")
        return item

    @task(name="t.auto_not", autoretry_for=(LookupError,), dont_autoretry_for=(KeyError,))
    def auto_not(key):
        note(key)
        raise KeyError("never again")

    @task(name="t.patient", bind=True)
    def patient(self, seconds, key):
        try:
            time.sleep(seconds)
        except exceptions.SoftTimeLimitExceeded:
            note(key, "soft")
            return "cut short"
        return "whole"

    @task(name="t.busy")
    def busy(seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            sum(range(100))
        return "whole"

    @task(name="t.tracked", bind=True, track_started=True)
    def tracked(self, key):
        note(key, app.AsyncResult(self.request.id).state)

    if not type(app).__module__.startswith("celery"):
        define_async(app, task, note, is_open, {})
        define_turns(task, note, wait_until_open)

    @task(name="t.above")
    def above(value, limit):
        return value > limit

    @task(name="t.gated_above")
    def gated_above(value, gate):
        if not is_open(gate):
            raise ValueError("closed")
        return True

    @task(name="t.builds", bind=True)
    def builds(self, depth, key, how="return"):
        """A workflow that ends with a number: deeper by ``depth`` levels."""
        from canvas import Workflow

        note(key, depth)
        if depth == 0:
            return 0
        flow = Workflow(f"level {depth}", self.app)
        inner = flow.add(self.s(depth - 1, key, how), name="inner")
        flow.add(app.tasks["t.add"].s(inner, 1), name="more")
        return self.replace(flow) if how == "replace" else flow

    @task(name="t.builds_gated", bind=True)
    def builds_gated(self, key, gate):
        from canvas import Workflow

        flow = Workflow("gated", self.app)
        first = flow.add(app.tasks["t.noted"].s(1, key), name="first")
        flow.add(app.tasks["t.gated"].s(first, key=gate), name="gated")
        return flow

    @task(name="t.yields")
    def yields(number, size):
        for first in range(0, number, size):
            yield list(range(first, min(first + size, number)))

    @task(name="t.yields_async")
    async def yields_async(number, size):
        for first in range(0, number, size):
            await asyncio.sleep(0)
            yield list(range(first, min(first + size, number)))

    @task(name="t.builds_traced", bind=True)
    def builds_traced(self, key):
        """A workflow of one step, which can be undone."""
        from canvas import Workflow

        flow, traced = Workflow("grown", self.app), app.tasks["t.traced"]
        flow.add(traced.s(1, key), compensate=traced.s(key), name="g")
        return flow

    @task(name="t.naps", bind=True)
    def naps(self, item):
        """A workflow that sleeps for an hour."""
        from canvas import Workflow

        flow = Workflow("nap", self.app)
        flow.sleep(3600)
        return flow

    @task(name="t.memory")
    def memory(mib):
        kept.append(bytearray(mib << 20))
        return os.getpid()

    kept = []

    @task(name="t.paced", rate_limit="5/s")
    def paced(key):
        note(key, repr(time.time()))

    @task(name="t.stuck")
    def stuck(key):
        note(key)
        # One call into C that lets no other Python code run.
        re.match("(a+)+$", "a" * 60 + "b")

    @task(name="t.suicidal_early", acks_late=False)
    def suicidal_early(key):
        note(key, "ran")
        os.kill(os.getpid(), 9)

    @task(name="t.suicidal_once", acks_late=True, reject_on_worker_lost=False)
    def suicidal_once(key):
        note(key, "ran")
        os.kill(os.getpid(), 9)

    @task(name="t.order", pydantic=True)
    def order(item: Item, count: int = 1, extra: Item | None = None) -> Order:
        assert isinstance(item, Item)
        return Order(item=item, total=item.price * count + (extra.price if extra else 0))

    @task(name="t.order_total", bind=True, pydantic=True)
    def order_total(self, order: Order):
        return order.total

    @task(name="t.clocked")
    def clocked(key):
        note(key, repr(time.time()))

    @task(name="t.pid")
    def pid():
        return os.getpid()

    @task(name="t.ignored")
    def ignored():
        raise exceptions.Ignore()

    @task(name="t.rejected")
    def rejected():
        raise exceptions.Reject("no thanks", requeue=False)


def define_turns(task, note, wait_until_open):
    """Tasks that are limited in ways that only canvas knows."""

    @task(name="t.paced_everywhere", rate_limit="5/s", rate_limit_scope="global")
    def paced_everywhere(key):
        note(key, repr(time.time()))

    @task(name="t.one_of_two", concurrency_limit=2, concurrency_key=["account"])
    def one_of_two(account, key):
        note(key, f"+{account}")
        wait_until_open(key)
        note(key, f"-{account}")

    @task(name="t.alone", concurrency_limit=1)
    def alone(key, die=False):
        note(key, "start")
        if die:
            os.kill(os.getpid(), 9)
        note(key, "end")

    @task(name="t.unique", unique_for=60, unique_key=["name"])
    def unique(name, key, fails=False):
        note(key)
        if fails:
            raise ValueError(name)

    @task(name="t.placed", concurrency_limit=1, concurrency_key=lambda name, key: name.lower())
    def placed(name, key):
        note(key)

    @task(name="t.emptying", unique_for=60, concurrency_limit=1, concurrency_key=["items"])
    def emptying(items):
        items.clear()

    @task(name="t.unique_of", unique_for=60, unique_key=lambda items: items[0])
    def unique_of(items):
        return items

    @task(name="t.exit_as_errback")
    def exit_as_errback(request, exc, traceback):
        sys.exit(4)

    @task(name="t.unique_until_start", unique_for=60, unique_until="start", unique_conflict="raise")
    def unique_until_start(key):
        note(key, "start")
        time.sleep(0.5)

    @task(name="t.unique_until_success", unique_for=60, unique_until="success", unique_key=lambda name, **_: name)
    def unique_until_success(name, fails=False):
        if fails:
            raise ValueError(name)

    @task(name="t.unique_retried", bind=True, unique_for=60, max_retries=1)
    def unique_retried(self):
        if self.request.retries == 0:
            raise self.retry(countdown=1)

    @task(name="t.unique_for_a_moment", unique_for=0.2, unique_until="expiry")
    def unique_for_a_moment():
        return None


def define_async(app, task, note, is_open, state):
    """Coroutine tasks, which only canvas runs."""

    @task(name="t.a_ident")
    async def a_ident(x):
        await asyncio.sleep(0)
        return x

    @task(name="t.a_odd")
    async def a_odd(kind):
        await asyncio.sleep(0)
        if kind in odd.COROUTINES:
            return await odd.COROUTINES[kind]()
        return {**odd.BREAKS_OFF, **odd.FAILS}[kind]()

    @task(name="t.a_slow")
    async def a_slow(seconds):
        await asyncio.sleep(seconds)
        return seconds

    @task(name="t.a_own", bind=True)
    async def a_own(self):
        await asyncio.sleep(0)
        child = app.tasks["t.ident"].delay(1)
        return [self.request.id, child.id]

    @task(name="t.a_together")
    async def a_together(key, many):
        note(key)
        state["inside"] = state.get("inside", 0) + 1
        state.setdefault("loops", set()).add(id(asyncio.get_running_loop()))
        while state["inside"] < many:
            await asyncio.sleep(0.01)
        return [threading.get_ident(), len(state["loops"])]

    @task(name="t.a_long")
    async def a_long(key, seconds=60):
        note(key, "start")
        try:
            await asyncio.sleep(seconds)
        except BaseException as exc:
            note(key, type(exc).__name__)
            raise
        note(key, "end")

    @task(name="t.a_until_open")
    async def a_until_open(key):
        note(key, "start")
        async with asyncio.timeout(60):
            while not is_open(key):
                await asyncio.sleep(0.02)
        note(key, "end")
        return key

    @task(name="t.a_busy")
    async def a_busy(key):
        note(key, "start")
        try:
            while True:
                time.sleep(0.01)
        except Exception as exc:
            note(key, type(exc).__name__)
            raise

    @task(name="t.a_context")
    async def a_context():
        before, _ = SEEN.get(), SEEN.set("seen")
        return before

    @task(name="t.a_loop")
    async def a_loop():
        return [os.getpid(), id(asyncio.get_running_loop())]

    @task(name="t.in_thread")
    def in_thread():
        time.sleep(0.05)
        return threading.current_thread() is threading.main_thread()


def _shown(value):
    return f"[{', '.join(map(_shown, value))}]" if isinstance(value, list) else str(value)


def note_signals(signals, ledger):
    """Every signal of a worker, as a line of the ledger."""

    def noted(name):
        def receive(sender=None, **arguments):
            given = {key for key in arguments if key != "signal"}
            about = arguments.get("state") or arguments.get("signum") or getattr(sender, "name", "")
            ledger.rpush("ledger:signals", json.dumps([name, about, sorted(given)]))

        return receive

    for name in SIGNALS:
        getattr(signals, name).connect(noted(name), weak=False)


def die_at(event, count):
    """Kill the whole worker at the how manieth such event of canvas' telemetry in one of its processes."""
    from canvas.telemetry import attach

    numbers = itertools.count(1)
    attach(lambda **facts: next(numbers) == int(count) and os.killpg(0, 9), event)


def die_in(module, method, when, count):
    """Kill the whole worker at the how manieth call of a method, ``Class.method``, in one of its processes: before the
    call has its effect, or after it."""
    name, method = method.split(".")
    owner = getattr(importlib.import_module(module), name)
    whole, numbers = getattr(owner, method), itertools.count(1)

    def dying(*args, **kwargs):
        last = next(numbers) == int(count)
        result = whole(*args, **kwargs) if when == "after" or not last else None
        if last:
            os.killpg(0, 9)
        return result

    setattr(owner, method, dying)


SIGNALS = (
    "task_received", "task_prerun", "task_postrun", "task_success", "task_failure", "task_retry", "task_revoked", "task_rejected",
    "worker_init", "worker_ready", "worker_shutting_down", "worker_shutdown", "celeryd_init", "celeryd_after_setup",
    "worker_process_init", "import_modules", "heartbeat_sent", "after_setup_logger", "after_setup_task_logger",
)  # fmt: skip

if "APP_SIGNALS" in os.environ:
    signals = __import__(os.environ["APP_LIBRARY"] + ".signals").signals
    note_signals(signals, redis.Redis.from_url(os.environ["APP_LEDGER"]))

TRANSPORT = ("broker_transport_options", "result_backend_transport_options")

if "APP_CLOCK_OFF" in os.environ:
    import time_machine

    wrong_by = datetime.timedelta(seconds=float(os.environ["APP_CLOCK_OFF"]))
    time_machine.travel(datetime.datetime.now(datetime.UTC) + wrong_by).start()

if "APP_RENEWED_EVERY" in os.environ:
    waits = __import__("canvas.workflows.steps.waits", fromlist=["waits"])
    lifetimes = __import__("canvas.worker.consumer.lifetimes", fromlist=["lifetimes"])
    waits.TIMER_LASTS = lifetimes.WAITS_EVERY = float(os.environ["APP_RENEWED_EVERY"])

if "APP_DIE_AT" in os.environ:
    die_at(*os.environ["APP_DIE_AT"].split(":"))

if "APP_DIE_IN" in os.environ:
    die_in(*os.environ["APP_DIE_IN"].split(":"))

if "APP_LIBRARY" in os.environ:
    app = make(
        os.environ["APP_LIBRARY"],
        os.environ["APP_BROKER"] or None,
        os.environ["APP_BACKEND"],
        os.environ.get("APP_SERIALIZER", "json"),
        os.environ.get("APP_LEDGER"),
        **json.loads(os.environ.get("APP_MORE", "{}")),
        **({"task_acks_late": True} if os.environ.get("APP_ACKS_LATE") else {}),
        **(
            {"broker_transport_options": {"visibility_timeout": int(os.environ["APP_VISIBILITY"])}}
            if "APP_VISIBILITY" in os.environ
            else {}
        ),
        **(
            {"broker_transport_options": {"consumer_timeout": float(os.environ["APP_CONSUMER_TIMEOUT"])}}
            if "APP_CONSUMER_TIMEOUT" in os.environ
            else {}
        ),
        **({"task_reject_on_worker_lost": True} if "APP_LOST" in os.environ else {}),
        **({"canvas_state": os.environ["APP_STATE"]} if "APP_STATE" in os.environ else {}),
        **({"task_default_queue_type": os.environ["APP_QUEUE_TYPE"]} if "APP_QUEUE_TYPE" in os.environ else {}),
        **(
            {"broker_shards": ast.literal_eval(os.environ["APP_BROKER_SHARDS"])}
            if "APP_BROKER_SHARDS" in os.environ
            else {}
        ),
        **({"task_send_sent_event": True} if "APP_SENT_EVENTS" in os.environ else {}),
        **({"worker_prefetch_multiplier": 1} if "APP_ONE_AHEAD" in os.environ else {}),
        **(
            {"worker_prefetch_seconds": float(os.environ["APP_PREFETCH_SECONDS"])}
            if "APP_PREFETCH_SECONDS" in os.environ
            else {}
        ),
        **({"worker_lease_ttl": 2.0, "worker_lease_heartbeat": 0.5} if os.environ.get("APP_SHORT_LEASES") else {}),
        **(
            {name: {"master_name": os.environ["APP_MASTER"]} for name in TRANSPORT}
            if "APP_MASTER" in os.environ
            else {}
        ),
        **({"message_signing_keys": os.environ["APP_SIGNING"].split(",")} if "APP_SIGNING" in os.environ else {}),
        **({"message_signature_required": False} if "APP_UNSIGNED_TOO" in os.environ else {}),
        **({"worker_pool_restarts": True} if os.environ.get("APP_RESTARTS") else {}),
        **({"result_expires": int(os.environ["APP_EXPIRES"])} if "APP_EXPIRES" in os.environ else {}),
        **({"workflow_run_expires": int(os.environ["APP_RUN_EXPIRES"])} if "APP_RUN_EXPIRES" in os.environ else {}),
        **(HIDDEN[os.environ["APP_HIDDEN"]] if "APP_HIDDEN" in os.environ else {}),
        **({"task_acks_on_failure_or_timeout": False} if os.environ.get("APP_ACKS_ON_FAILURE") else {}),
    )
