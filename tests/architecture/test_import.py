"""Importing canvas is light."""

import subprocess
import sys

import pytest

HEAVY = ("networkx", "redis", "celery", "kombu", "click", "rich", "asyncio", "ssl", "subprocess", "multiprocessing")


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_import_loads_few_modules():
    """What an import costs is what it loads; its milliseconds are in ``benchmarks/import_time.py``."""
    code = "import sys; before = len(sys.modules); import canvas; print(len(sys.modules) - before)"
    assert int(run(code)) <= 128


def test_import_leaves_heavy_libraries_alone():
    code = f"import sys, canvas; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run(code) == "[]"


def test_modules_that_programs_use_as_attributes():
    names = "canvas.exceptions.Retry, canvas.signals.task_prerun, canvas.schedules.crontab"
    assert run(f"import canvas; print(len([{names}]), hasattr(canvas, 'nothing'))") == "3 False"


def test_a_worker_starts_without_networkx():
    modules = "canvas.worker.node, canvas.workflows.run"  # what it runs tasks with, and what cancels an overdue run
    code = f"import sys, {modules}; print([n for n in ('networkx', 'celery', 'pydantic') if n in sys.modules])"
    assert run(code) == "[]"


def test_the_help_imports_no_command():
    shown = "canvas(['--help'], standalone_mode=False); canvas.shell_complete(click.Context(canvas), 'w')"
    lines = run(f"import sys, click; from canvas.cli.main import canvas; {shown}; print(*sys.modules)").splitlines()
    assert any(line.split() == ["worker", "Run", "a", "worker."] for line in lines)
    ours = {name for name in lines[-1].split() if name.startswith("canvas.cli")}
    no_command = {"canvas.cli.extending", "canvas.cli.extending.known_commands"}
    assert ours == {"canvas.cli", "canvas.cli.main", "canvas.cli.options", *no_command}


COMPOSE = """
import sys
from canvas import *
app = Canvas("x", broker="memory://", backend="memory://")
add, total = app.task(name="add")(lambda x, y: x + y), app.task(name="total")(sum)
"""


@pytest.mark.parametrize(
    "send",
    [
        "(add.s(1, 1) | add.s(1)).delay()",
        "chord([add.s(1, 1) | group(add.s(1), add.s(2)), add.s(1, 2)], total.s() | add.s(1)).delay()",
        "group(add.s(1, number) for number in range(1_000)).delay()",
        "flow = Workflow('w', app); one = flow.add(add.s(1, 1)); flow.add(add.s(one, 1)); flow.apply_async()",
    ],
)
def test_a_workflow_is_sent_without_networkx(send):
    assert run(f"{COMPOSE}\n{send}\nprint('networkx' in sys.modules)") == "False"


def test_networkx_comes_with_the_first_picture():
    assert run(f"{COMPOSE}\n(add.s(1, 1) | add.s(1)).draw()\nprint('networkx' in sys.modules)") == "True"
