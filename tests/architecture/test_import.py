"""Importing canvas is light."""

import subprocess
import sys

HEAVY = ("networkx", "redis", "celery", "kombu", "click", "rich", "asyncio", "ssl", "subprocess", "multiprocessing")


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_import_loads_few_modules():
    """What an import costs is what it loads; its milliseconds are in ``benchmarks/import_time.py``."""
    code = "import sys; before = len(sys.modules); import canvas; print(len(sys.modules) - before)"
    assert int(run(code)) <= 185


def test_import_leaves_heavy_libraries_alone():
    code = f"import sys, canvas; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run(code) == "[]"


def test_a_worker_starts_without_networkx():
    modules = "canvas.worker.node, canvas.workflows.run"  # what it runs tasks with, and what cancels an overdue run
    code = f"import sys, {modules}; print([n for n in ('networkx', 'celery', 'pydantic') if n in sys.modules])"
    assert run(code) == "[]"


def test_networkx_comes_with_the_first_composite():
    code = (
        "import sys\nfrom canvas import *\napp = Canvas('x', broker='memory://', backend='memory://')\n"
        "add = app.task(name='add')(lambda x, y: x + y)\n"
        "add.delay(1, 1)\nprint('networkx' in sys.modules)\n(add.s(1, 1) | add.s(1)).delay()\n"
        "print('networkx' in sys.modules)"
    )
    assert run(code).split() == ["False", "True"]
