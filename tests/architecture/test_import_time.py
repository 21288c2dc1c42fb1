"""Importing canvas is light."""

import os
import subprocess
import sys

HEAVY = ("networkx", "redis", "celery", "kombu", "click", "rich", "msgpack")


def run(code, **environment):
    environment = {**os.environ, **environment}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return done.stdout.strip()


def test_import_takes_less_than_150_ms(tmp_path):
    code = "import time; t = time.perf_counter(); import canvas; print(time.perf_counter() - t)"
    cached = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    assert min(float(run(code, **cached)) for _ in range(6)) < 0.150


def test_import_leaves_heavy_libraries_alone():
    code = f"import sys, canvas; print([name for name in {HEAVY!r} if name in sys.modules])"
    found = run(code)
    assert found in ("[]", "['msgpack']")


def test_networkx_comes_with_the_first_composite():
    code = (
        "import sys\nfrom canvas import *\napp = Canvas('x', broker='memory://', backend='memory://')\n"
        "add = app.task(name='add')(lambda x, y: x + y)\n"
        "add.delay(1, 1)\nprint('networkx' in sys.modules)\n(add.s(1, 1) | add.s(1)).delay()\n"
        "print('networkx' in sys.modules)"
    )
    assert run(code).split() == ["False", "True"]
