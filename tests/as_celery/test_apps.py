"""Programs with two apps, or with none: the same program gives the same output on Celery and on canvas."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import celery
from celery import Celery, current_app, shared_task
from celery.app import app_or_default

print(current_app.main, app_or_default().main, current_app.conf.task_default_queue)

@shared_task
def early(x):
    return current_app.main, x

print(early.app.main, early(1))
one = Celery("one", broker="memory://", backend="cache+memory://")
two = Celery("two", broker="memory://", backend="cache+memory://", set_as_current=False)

@one.task(name="of.one")
def of_one():
    return current_app.main

@one.task(name="alone", shared=False)
def alone():
    pass

@two.task(name="of.two")
def of_two():
    pass

three = Celery("three", set_as_current=False)
for app in (one, two, three):
    print(app.main, sorted(name for name in app.tasks if not name.startswith(("celery.", "canvas."))))
    print([app.tasks[name].app.main for name in ("of.one", "of.two")])
print(one.tasks["of.one"] == of_one, current_app.main, early.app.main)
two.set_current()
print(early.app.main, early(2), current_app.main, of_one.app.main)
"""

NAMESAKES = """
from celery import Celery

def made(name):
    app = Celery(name, broker="memory://", backend="cache+memory://")

    @app.task
    def say():
        return name

    @app.task(name="named")
    def named():
        return name

    return app, say, named

def other():
    app = Celery("other", broker="memory://", backend="cache+memory://")

    @app.task(name="named", max_retries=7)
    def of_another_name():
        return "other"

    return app, of_another_name, of_another_name

apps = []
for app, *tasks in (made("one"), made("two"), other()):
    print(app.main, [(task.name, task(), task.app.main, task.max_retries) for task in tasks])
    apps.append(app)
for app in apps:
    print(app.main, app.tasks["named"](), app.tasks["named"].apply().get(), app.tasks["named"].app.main)
print([app.tasks[f"{app.main}.say"]() for app in apps[:2]])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("apps")
    (found / "celeryconfig.py").write_text("task_default_queue = 'of-celeryconfig'\n")
    return found


def output(folder, *switch, program=PROGRAM):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "CANVAS_"))}
    (folder / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, *switch, "program.py"], cwd=folder, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_program_with_several_apps(folder):
    assert output(folder, "-m", "canvas.as_celery") == output(folder)


def test_tasks_of_one_name_in_several_apps(folder):
    """Each app runs its own, although tasks are shared."""
    assert output(folder, "-m", "canvas.as_celery", program=NAMESAKES) == output(folder, program=NAMESAKES)
