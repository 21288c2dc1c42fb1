"""Projects of Celery's guides and of a FastAPI tutorial, unchanged: both libraries print the same."""

import pytest

from tests.ecosystem.running import PROJECTS, client, environment, running, until

TUTORIALS = PROJECTS / "tutorials"
FIRST_STEPS = """\
8 True SUCCESS True
TypeError('can only concatenate str (not "int") to str') True FAILURE
TypeError: can only concatenate str (not "int") to str
can only concatenate str (not "int") to str
add() missing 1 required positional argument: 'y'
add() got an unexpected keyword argument 'z'
PENDING
"""
NEXT_STEPS = """\
4 4
TypeError("unsupported operand type(s) for +: 'int' and 'str'") True False FAILURE
proj.tasks.add(2, 2) proj.tasks.add(2, 2) proj.tasks.add(2) proj.tasks.add(2, 2)
4 10
proj.tasks.add(2, 2, debug=True) {'debug': False}
[0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
[10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
64 proj.tasks.add(4, 4) | mul(8)
64
90
90
map [3] [1, 2]
[[0, 2, 4, 6, 8], [10, 12, 14, 16, 18]] 4
['celery', 'hipri']
{'ok': 'pong'}
['proj.tasks.add', 'proj.tasks.mul', 'proj.tasks.xsum']
None
"""
DJANGO_STEPS = """\
None True
None
None 2
new
DoesNotExist('Widget matching query does not exist.') FAILURE
9 [0, 2, 4]
6
FAILURE demoapp.tasks.rename_widget "(99, 'x')" "{}" application/json {'exc_type': 'Widget.DoesNotExist', \
'exc_message': ['Widget matching query does not exist.'], 'exc_module': 'demoapp.models'}
[('demoapp.tasks.add', 'SUCCESS'), ('demoapp.tasks.count_widgets', 'SUCCESS'), ('demoapp.tasks.mul', 'SUCCESS'), \
('demoapp.tasks.rename_widget', 'FAILURE'), ('demoapp.tasks.rename_widget', 'SUCCESS'), ('demoapp.tasks.xsum', 'SUCCESS')]
"""
both = pytest.mark.parametrize("library", ["canvas", pytest.param("celery", marks=pytest.mark.slow)])


@pytest.fixture
def env(redis_server, tmp_path):
    for database in (0, 1):
        redis_server.client(database).flushall()
    return environment(redis_server, tmp_path)


def printed(library, script, app, *words, env, folder, cwd=TUTORIALS):
    """What a program prints while a worker of its project runs; ``library``: which one both use."""
    about = {"env": {**env, "PYTHONPATH": str(cwd)}, "folder": folder, "cwd": cwd, "library": library}
    with running(app, "worker", "-c", "2", *words, ready=" ready.", **about) as log:
        text = client(script, env, as_celery=library == "canvas", cwd=cwd)
        if "-B" in words:
            until(lambda: "hello" in log.read_text(), log)
    return text


@both
def test_first_steps(env, tmp_path, library):
    words = "-B", "-s", str(tmp_path / "schedule")
    assert printed(library, "first_steps.py", "tasks", *words, env=env, folder=tmp_path) == FIRST_STEPS


@both
def test_next_steps(env, tmp_path, library):
    assert printed(library, "next_steps.py", "proj", "-Q", "hipri,celery", env=env, folder=tmp_path) == NEXT_STEPS


@both
def test_first_steps_with_django(env, tmp_path, library):
    site = TUTORIALS / "mysite"
    client("migrate.py", env, cwd=site)
    found = printed(library, "steps.py", "mysite", env=env, folder=tmp_path, cwd=site)
    assert found == DJANGO_STEPS


def test_a_fastapi_project(env, tmp_path):
    """With Celery, its page of a task's state finds no result backend on the thread that serves it."""
    found = printed("canvas", "steps.py", "worker", env=env, folder=tmp_path, cwd=TUTORIALS / "web")
    assert found == "True True\nTrue\nTrue\n"
