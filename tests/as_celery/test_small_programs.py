"""Short programs print what they print with Celery."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.as_celery.small_programs import PROGRAMS

RUN = """
import io, json, sys, warnings
from contextlib import redirect_stdout
warnings.simplefilter("ignore")
from celery import Celery
found = {}
for name, program in json.load(sys.stdin).items():
    with redirect_stdout(io.StringIO()) as printed:
        try:
            exec(program, {"Celery": Celery, "sys": sys, "__name__": "program"})
        except BaseException as exc:
            print(f"raises {type(exc).__name__}: {exc}")
    found[name] = printed.getvalue()
print(json.dumps(found))
"""


def run(before):
    done = subprocess.run(
        [sys.executable, "-c", before + RUN], input=json.dumps(PROGRAMS), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def printed():
    with ThreadPoolExecutor(2) as threads:
        return tuple(threads.map(run, ["", "import canvas.as_celery\n"]))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_prints_what_it_prints_with_celery(printed, name):
    theirs, ours = printed
    assert "raises" not in theirs[name]
    assert ours[name] == theirs[name]
