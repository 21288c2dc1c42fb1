"""``--list`` of ``inspect`` and ``control``, commands that no worker replies to, and ``schedule list``."""

from types import SimpleNamespace

import click
import pytest
from celery.bin.base import CLIContext
from celery.utils.text import indent as celerys_indent
from celery.worker.control import Panel
from click.testing import CliRunner

from canvas import Canvas
from canvas.cli.inspect_control import _indented, control, inspect, named, status
from canvas.cli.periodic.schedule import schedule

ONLY_CELERYS = {"election"}
"""Workers of canvas do not gossip."""


@pytest.mark.parametrize(("command", "kind"), [(inspect, "inspect"), (control, "control")])
def test_each_of_celerys_commands_is_listed_and_taken(command, kind):
    done = CliRunner().invoke(command, ["--list"])
    assert done.exit_code == 0
    assert done.output.startswith(f"{kind.capitalize()} Commands:")
    listed = {line.split()[0] for line in done.output.splitlines()[1:] if line.startswith("  ") and line[2] != " "}
    theirs = {name for name, about in Panel.meta.items() if about.type == kind and about.visible} - ONLY_CELERYS
    assert theirs <= listed
    (method,) = [one for one in command.params if one.name == "method"]
    assert set(method.type.choices) == listed


def test_stamps_are_given_by_name():
    found = named("revoke_by_stamped_headers", ("one=1", "one=2", "two=x=y"))
    assert found == {"headers": {"one": ["1", "2"], "two": ["x=y"]}}
    with pytest.raises(click.UsageError, match="expected name=value; got 'one'"):
        named("revoke_by_stamped_headers", ("one",))


def test_a_list_shows_which_arguments_are_required():
    found = CliRunner().invoke(control, ["--list"]).output
    assert "add_consumer <queue> [exchange] [exchange_type] [routing_key]" in found
    assert "revoke <task_id> ..." in found


@pytest.mark.parametrize(
    ("command", "words"), [(status, []), (status, ["-j"]), (inspect, ["ping"]), (control, ["heartbeat"])]
)
def test_no_worker_replies(command, words):
    app = Canvas(broker="memory://no-workers")
    done = CliRunner().invoke(command, [*words, "-t", "0.05"], obj=SimpleNamespace(app=app))
    app.close()
    expected = "Error: No nodes replied within time constraint\n"
    assert (done.exit_code, done.stdout, done.stderr) == (69, "", expected)


@pytest.mark.parametrize(("scheduler", "warned"), [("celery.beat:PersistentScheduler", False), ("django", True)])
def test_entries_of_another_scheduler_are_not_taken_for_those_in_the_broker(scheduler, warned):
    app = Canvas(broker="memory://entries", beat_scheduler=scheduler, beat_schedule={"a": {"task": "t", "schedule": 5}})
    done = CliRunner().invoke(schedule, ["list"], obj=SimpleNamespace(app=app))
    app.close()
    expected = "beat_scheduler is django, which has entries of its own; these are the entries in the broker\n"
    assert (done.exit_code, done.stderr) == (0, expected if warned else "")
    assert done.stdout.splitlines()[-1].startswith("a ")


@pytest.mark.parametrize("answer", [
    [], ["proj.add [rate_limit=5/m]"], [{"id": "a", "args": [None, True]}], {"ok": "pong"}, {"error": "unknown task"},
    {"ok": {"b": 1}}, {"ok": [1, {"c": None}]}, {"clock": 3, "a": {"x": [1, {}], "b": None}}, "text", None, 5, [1, 2.5],
])  # fmt: skip
def test_answers_of_workers_are_printed_as_celerys(answer):
    theirs = CLIContext(app=None, no_color=True, workdir=".").pretty(answer)[1]
    assert _indented(answer) == celerys_indent(theirs, 4)
