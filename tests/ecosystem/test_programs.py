"""``python -m canvas.as_celery``: programs of a project, unchanged."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
import celery
from beside import name
print(celery.Celery.__module__, name, sys.argv[1:], __name__)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "beside.py").write_text("name = 'beside'\n")
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def run(folder, *words, **environment):
    env = {key: value for key, value in os.environ.items() if key != "CANVAS_AS_CELERY"}
    command = [sys.executable, "-W", "error", "-m", "canvas.as_celery", *words]
    done = subprocess.run(command, cwd=folder, env={**env, **environment}, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_a_file_and_a_module(folder):
    expected = (0, "canvas.app.application beside ['a', '-b'] __main__\n")
    assert run(folder, "-m", "program", "a", "-b", CANVAS_AS_CELERY="1") == expected
    assert run(folder.parent, f"{folder.name}/program.py", "a", "-b") == expected


def test_no_program(folder):
    code, text = run(folder, "-x")
    assert code == 1
    assert text == "usage: python -m canvas.as_celery (-m MODULE | -c CODE | FILE | -) [ARGUMENTS ...]\n"
