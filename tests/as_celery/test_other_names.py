"""Names that Celery's modules have beyond the public ones can be imported; the test helpers of Celery work."""

import json
import subprocess
import sys

import pytest

from tests.as_celery import other_names


def run(program):
    """What a program prints as JSON, in a process of its own, where canvas serves the name."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_file_is_up_to_date():
    assert other_names.FILE.read_text() == other_names.text(), "run python -m tests.as_celery.other_names"


def test_every_name_can_be_imported():
    program = """
import canvas.as_celery, importlib, json
from canvas.celery_names import others
wrong = []
for module in others._modules():
    loaded = importlib.import_module(module)
    wrong += [f"{module}.{name}" for name in others.names(module) if not hasattr(loaded, name)]
print(json.dumps(wrong))
"""
    assert run(program) == []


def test_what_they_are():
    program = """
import canvas, canvas.as_celery, json, os
from celery.app.base import PendingConfiguration, os as the_os
from celery.app.trace import FAILURE, Context, group, logger, signals
from celery.backends.base import BaseDictBackend, get_current_task
import celery.signals
try:
    PendingConfiguration()
    said = None
except canvas.errors.ConfigurationError as exc:
    said = str(exc)
print(json.dumps([the_os is os, FAILURE, group is canvas.group, logger.name, signals is celery.signals, said]))
"""
    words = (
        "celery.app.base.PendingConfiguration: canvas has no use for it, or keeps it inside; "
        "see https://canvas-workflows.readthedocs.io/reference/from-celery/"
    )
    assert run(program) == [True, "FAILURE", True, "celery.app.trace", True, words]


def test_attributes_of_stand_ins_and_second_names():
    """A class body may read what Celery's class has; an object that has two names in Celery is one object here, too."""
    program = """
import canvas.as_celery, json
from celery.app.base import App, Celery
from celery.app.task import BaseTask, Task
from celery.exceptions import Retry, RetryTaskError
from celery.backends.mongodb import MongoBackend

def fails(how):
    try:
        how()
    except Exception as exc:
        return [type(exc).__name__, str(exc)]

class Migrator(MongoBackend):
    decode = MongoBackend.decode

print(json.dumps([App is Celery, BaseTask is Task, RetryTaskError is Retry, hasattr(Migrator, "encode"),
    fails(lambda: Migrator.decode("x")), fails(lambda: Migrator.pytestmark)]))
"""
    *same, called, missing = run(program)
    words = (
        "celery.backends.mongodb.MongoBackend: canvas keeps results in Redis, SQL, Memcached, files or memory by drivers of its own; "
        "results are read by AsyncResult; see https://canvas-workflows.readthedocs.io/reference/from-celery/"
    )
    assert same == [True, True, True, True]
    assert called == ["ConfigurationError", words]
    assert missing == ["AttributeError", f"type object 'Migrator' has no attribute 'pytestmark'. {words}"]


def test_a_trap_instead_of_the_current_app():
    program = """
import canvas.as_celery, json
from celery import Celery, current_app, shared_task
from celery._state import set_default_app
from celery.contrib.testing.app import TestApp, Trap, set_trap, setup_default_app

@shared_task(name="of.all")
def of_all():
    return 1

def use(how):
    try:
        return how()
    except RuntimeError as exc:
        return str(exc)

set_default_app(Trap())
found = [use(lambda: current_app.conf), use(lambda: of_all.delay())]
app = TestApp("quiet", config={"task_default_queue": "q"}, broker="memory://b")
found += [use(lambda: current_app.conf), app.conf.broker_url, app.conf.task_default_queue, app.tasks["of.all"].run()]
current = Celery("current", broker="memory://")
with set_trap(current):
    found.append(use(lambda: current_app.main))
found.append(current_app.main)
with setup_default_app(app, use_trap=True):
    found.append(use(lambda: current_app.main))
found.append(current_app.main)
print(json.dumps(found))
"""
    conf, main = (f"Test depends on current_app: it uses the attribute {name!r}" for name in ("conf", "main"))
    found = run(program)
    assert found[1].startswith("Test depends on current_app: it uses the attribute")
    assert [found[0], *found[2:]] == [conf, conf, "memory://b", "q", 1, main, "current", main, "current"]


def test_settings_and_schedules_have_what_subclasses_use():
    from datetime import UTC, datetime, timedelta

    from canvas import Canvas
    from canvas.schedules import schedule

    app = Canvas("settings", broker="memory://", task_default_queue="given", set_as_current=False)
    app.conf.add_defaults({"task_default_queue": "default", "of_a_plugin": 1, "result_expires": 5})
    assert (app.conf.task_default_queue, app.conf.of_a_plugin, app.conf.result_expires) == ("given", 1, 5)
    assert dict(app.conf.iteritems())["of_a_plugin"] == 1
    every = schedule(10, app=app)
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    assert (every.utc_enabled, every.to_local(moment)) == (True, moment)
    every.utc_enabled = False
    assert every.to_local(moment).utcoffset() == moment.astimezone().utcoffset() != timedelta(days=1)


def test_two_functions_of_one_name_and_replies_in_memory():
    """As in Celery: the first function keeps the name, with a warning; ``rpc://`` works beside a broker in memory."""
    program = """
import canvas.as_celery, json, warnings
from celery import Celery
from celery.contrib.testing.worker import start_worker
from celery.exceptions import DuplicateTaskNameWarning

app = Celery("a", broker="memory://", backend="rpc://")
def one():
    return 1
def two():
    return 2
app.task(name="n")(one)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    task = app.task(name="n")(two)
with start_worker(app, pool="solo", perform_ping_check=False):
    found = task.delay().get(timeout=60)
print(json.dumps([found, [issubclass(one.category, DuplicateTaskNameWarning) for one in caught], str(caught[0].message)]))
"""
    found, caught, text = run(program)
    assert (found, caught) == (1, [True])
    assert text == (
        "task name 'n' is taken by __main__.one; calls of the name run that. To have both, give __main__.two another name="
    )
