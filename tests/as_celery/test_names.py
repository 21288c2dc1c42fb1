"""The names that canvas serves are Celery's, and mean what they mean there."""

import importlib
import importlib.util
import json
import os
import subprocess
import sys

import pytest

from canvas.celery_names.names import ALIASES, KOMBUS_WITHOUT, MEMBERS, NAMES_OF, WITHOUT
from canvas.exceptions import __all__ as EXCEPTIONS
from canvas.version import DOCUMENTATION

ABSENT = [f"{module}.{name}" for module, names in {**NAMES_OF, **KOMBUS_WITHOUT}.items() for name in names.split()]
SPHINX = "celery.contrib.sphinx"
"""Sphinx is not installed here; ``tests/ecosystem/test_plugins.py`` uses it in an environment of its own."""
EARLIER = {"celery.backends.database.retry"}
"""Names of Celery 5.3 to 5.6, which programs of today import."""
CELERY = [name for name in MEMBERS if name.startswith("celery") and name != SPHINX]
KOMBU = [name for name in MEMBERS if name.startswith(("kombu", "billiard"))]


def run(program, **environment):
    """What a program prints as JSON, in a process of its own, where canvas serves the name."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("module", [*CELERY, *KOMBU])
def test_each_name_is_one_of_the_real_module(module):
    theirs = importlib.import_module(module)
    assert [name for name in MEMBERS[module] if not hasattr(theirs, name) and f"{module}.{name}" not in EARLIER] == []


@pytest.mark.parametrize("module", [*WITHOUT, *ALIASES])
def test_each_module_is_a_real_one(module):
    assert importlib.util.find_spec(module) is not None


def test_every_exception_of_celery_is_served():
    theirs = importlib.import_module("celery.exceptions").__all__
    assert set(theirs) - set(EXCEPTIONS) - {"CeleryCommandException", "SchedulingError"} == set()


def test_every_name_of_an_absent_module_is_celerys():
    unknown = []
    for place in ABSENT:
        module, _, name = place.rpartition(".")
        try:
            there = hasattr(importlib.import_module(module), name)
        except ImportError:
            continue  # its library is not installed
        unknown += [] if there else [place]
    assert unknown == []


def test_every_served_name_can_be_imported():
    program = """
import canvas.as_celery, importlib, json
from canvas.celery_names.names import ALIASES, MEMBERS
served = {m: names for m, names in MEMBERS.items() if m.startswith("celery") and m != "celery.contrib.sphinx"}
missing = [f"{m}.{n}" for m, names in served.items() for n in names if not hasattr(importlib.import_module(m), n)]
same = [importlib.import_module(a) is importlib.import_module(b) for a, b in ALIASES.items()]
specs = [importlib.import_module(b).__spec__.name == b for b in ALIASES.values()]
print(json.dumps([missing, all(same), all(specs)]))
"""
    assert run(program) == [[], True, True]


def test_classes_are_canvas_own_whether_celery_is_imported_by_name_or_not():
    program = """
import json, pickle
import canvas
import celery, celery.result, celery.exceptions
from celery import Celery, chain, current_app
from celery.utils.log import get_task_logger
from importlib.metadata import version
app = Celery("shop", broker="memory://", backend="cache+memory://" if False else "memory://")
print(json.dumps([
    Celery is canvas.Canvas, chain is canvas.chain, current_app.main, celery.__version__, version("celery"),
    pickle.loads(pickle.dumps(celery.exceptions.Retry("later"))).message, celery.current_app.main,
]))
"""
    assert run(program, CANVAS_AS_CELERY="1") == [True, True, "shop", "5.7.0", "5.7.0", "later", "shop"]


def test_what_is_absent_can_be_imported_and_says_what_to_use():
    """A program may name it, test with it, subclass it or patch it; only its use is an error."""
    program = """
import canvas.as_celery, json
from celery.app.trace import traceback_clear
from celery.backends.mongodb import MongoBackend
from celery.concurrency import asynpool
from celery.concurrency.prefork import TaskPool
from celery.worker import strategy
asynpool.PROC_ALIVE_TIMEOUT = 60
class Mine(MongoBackend):
    def get(self, key) -> "MongoBackend":
        return super().get(key)
found = [isinstance(1, MongoBackend), Mine.__name__, asynpool.PROC_ALIVE_TIMEOUT, MongoBackend is MongoBackend]
for use in (lambda: Mine(), lambda: strategy.default(), TaskPool, traceback_clear):
    try:
        use()
    except Exception as exc:
        found.append(f"{type(exc).__name__}: {exc}")
print(json.dumps(found))
"""
    *loaded, backend, strategy, pool, tracer = run(program)
    assert loaded == [False, "Mine", 60, True]
    assert backend == (
        "ConfigurationError: celery.backends.mongodb.MongoBackend: canvas keeps results in Redis, SQL, Memcached, files or memory by "
        "drivers of its own; results are read by AsyncResult; see https://canvas-workflows.readthedocs.io/reference/from-celery/"
    )
    assert "celery.worker.strategy.default: canvas takes messages without strategies, and calls none" in strategy
    assert "-P solo, threads, prefork or asyncio" in pool
    assert "celery.app.trace.traceback_clear: canvas keeps this inside" in tracer


def test_every_name_of_an_absent_module_can_be_imported():
    program = """
import canvas.as_celery, importlib, json
from canvas.celery_names.importer import words_for
from canvas.celery_names.names import NAMES_OF, NAMES_WITHOUT
named = {**{m: names.split() for m, names in NAMES_OF.items()}, **NAMES_WITHOUT}
wrong = [f"{m}.{n}" for m, names in named.items() for n in names if not hasattr(importlib.import_module(m), n)]
print(json.dumps([wrong, [m for m in NAMES_OF if words_for(m) is None], hasattr(importlib.import_module("celery.beat"), "x")]))
"""
    assert run(program) == [[], [], False]


def test_a_name_that_celery_does_not_have_is_an_error():
    program = """
import canvas.as_celery, json
found = []
for statement in ("from celery import Nothing", "import celery.nothing", "import celery; celery.nothing"):
    try:
        exec(statement)
    except (ImportError, AttributeError) as exc:
        found.append(f"{type(exc).__name__}: {exc}")
print(json.dumps(found))
"""
    name, module, attribute = run(program)
    assert name.startswith("ImportError: cannot import name 'Nothing' from 'celery'")
    assert module.startswith("ModuleNotFoundError: No module named 'celery.nothing': canvas does not serve it")
    guide = f"see {DOCUMENTATION}reference/from-celery/"
    assert attribute == f"AttributeError: canvas has no 'nothing' for module 'celery'; {guide}"


def test_it_comes_too_late_after_celery():
    program = """
import json, celery
from canvas.errors import ConfigurationError
try:
    import canvas.as_celery
except ConfigurationError as exc:
    print(json.dumps(str(exc)))
"""
    assert "is loaded already, from" in run(program)


def test_kombu_is_served_where_it_is_not_installed():
    program = """
import json
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *others: None if name.startswith("kombu") else find(name, *others)
import canvas.as_celery
from celery import Celery
from kombu import Exchange, Queue
from kombu.exceptions import OperationalError
app = Celery("shop", broker="memory://", task_queues=[Queue("a", Exchange("x", type="topic"), routing_key="a.#")])
import canvas.errors
print(json.dumps([OperationalError is canvas.errors.OperationalError, [list(queue[:5]) for queue in app.router.consumed()]]))
"""
    assert run(program) == [True, [["a", "x", "a.#", "topic", None]]]


CALLS = [
    ("celery.utils.nodenames", "nodesplit", ("a@b",)), ("celery.utils.nodenames", "nodesplit", ("b",)),
    ("celery.utils.nodenames", "default_nodename", ("h",)), ("celery.utils.nodenames", "default_nodename", ("n@h",)),
    ("celery.utils.nodenames", "host_format", ("%h-%n-%d-%%", "a.b.c")),
    ("celery.utils.nodenames", "node_format", ("%n %h %p", "w@x.y")),
    ("celery.utils.nodenames", "anon_nodename", ()),
    ("celery.utils.functional", "maybe_list", (1,)), ("celery.utils.functional", "maybe_list", ("ab",)),
    ("celery.utils.functional", "maybe_list", ([1],)), ("celery.utils.functional", "maybe_list", (None,)),
    ("celery.utils.functional", "maybe_list", ({"a": 1},)), ("celery.utils.functional", "first", (None, [None, 2])),
    ("celery.utils.functional", "padlist", ([1], 3)), ("celery.utils.functional", "padlist", ([1, 2, 3], 2, 0)),
    ("celery.utils.functional", "dictfilter", ({"a": None, "b": 1},)),
    ("celery.utils.imports", "symbol_by_name", ("json:dumps",)), ("celery.utils.imports", "symbol_by_name", ("json.dumps",)),
    ("celery.utils.imports", "qualname", (dict,)), ("celery.utils.imports", "qualname", (json.dumps,)),
    ("celery.utils.time", "rate", ("10/m",)), ("celery.utils.time", "rate", ("3",)), ("celery.utils.time", "rate", (None,)),
    ("celery.utils.time", "get_exponential_backoff_interval", (2, 3, 10)),
    ("celery.utils.time", "maybe_timedelta", (3,)), ("celery.utils.time", "maybe_timedelta", (None,)),
    ("celery.utils.time", "maybe_iso8601", ("2026-01-02T03:04:05+00:00",)),
    ("celery.utils.log", "mlevel", ("info",)), ("celery.utils.log", "mlevel", (10,)), ("celery.utils.log", "mlevel", (None,)),
]  # fmt: skip


@pytest.mark.parametrize(("module", "name", "args"), CALLS)
def test_a_function_answers_as_celerys(module, name, args):
    place, _, attribute = MEMBERS[module][name].partition(":")
    ours, theirs = getattr(importlib.import_module(place), attribute), getattr(importlib.import_module(module), name)
    found, expected = ours(*args), theirs(*args)
    assert (list(found) if isinstance(found, tuple) else found) == (
        list(expected) if isinstance(expected, tuple) else expected
    )


@pytest.mark.parametrize("arguments", [
    {"exchange": "x", "routing_key": "k"}, {"max_priority": 5}, {"expires": 3, "message_ttl": 2},
    {"queue_arguments": {"x-queue-type": "quorum"}}, {},
])  # fmt: skip
def test_queues_of_settings_are_read_as_kombus(arguments):
    import kombu

    from canvas import Canvas
    from canvas.celery_names.parts.queues import Exchange, Queue
    from canvas.producer.routing import router_of

    exchanges = {key: value for key, value in arguments.items() if key == "exchange"}
    others = {key: value for key, value in arguments.items() if key != "exchange"}
    ours = Queue("q", *(Exchange(name, type="topic") for name in exchanges.values()), **others)
    theirs = kombu.Queue("q", *(kombu.Exchange(name, type="topic") for name in exchanges.values()), **others)
    found, expected = (
        router_of(Canvas("a", task_queues=[one], set_as_current=False).conf).consumed() for one in (ours, theirs)
    )
    assert found == expected
