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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("apps")
    (found / "celeryconfig.py").write_text("task_default_queue = 'of-celeryconfig'\n")
    return found


def output(folder, *switch):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "CANVAS_"))}
    (folder / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, *switch, "program.py"], cwd=folder, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_program_with_several_apps(folder):
    assert output(folder, "-m", "canvas.as_celery") == output(folder)
