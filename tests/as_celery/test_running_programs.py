"""``python -m canvas.as_celery`` runs what ``python`` runs: a module, code, a file, standard input."""

import subprocess
import sys

import pytest

PROGRAM = """
import pickle, sys
import celery

class Kept:
    pass

print(celery.Celery.__module__.partition(".")[0], sys.argv[1:], type(pickle.loads(pickle.dumps(Kept()))).__name__)
"""


@pytest.mark.parametrize("way", ["-m", "-c", "file", "-"])
def test_a_program(tmp_path, way):
    (tmp_path / "program.py").write_text(PROGRAM)
    words = {"-m": ["-m", "program"], "-c": ["-c", PROGRAM], "file": ["program.py"], "-": ["-"]}[way]
    command = [sys.executable, "-m", "canvas.as_celery", *words, "one", "two"]
    done = subprocess.run(command, cwd=tmp_path, input=PROGRAM, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("canvas ['one', 'two'] Kept\n", "")


def test_no_program():
    done = subprocess.run([sys.executable, "-m", "canvas.as_celery", "-c"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "usage: python -m canvas.as_celery (-m MODULE | -c CODE | FILE | -)" in done.stderr


def test_celerys_command_line():
    command = [sys.executable, "-m", "canvas.as_celery", "-m", "celery", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr, done.stdout.startswith("canvas, version ")) == (0, "", True)
