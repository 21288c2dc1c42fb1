"""Texts that people read in a prompt or a terminal: plans, runs' states, dead letters, hints, and lists of commands."""

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from canvas import Canvas, chain, chord, group
from canvas.cli.main import canvas
from canvas.drivers.ports.values import Lease
from canvas.errors import OperationalError
from canvas.model.settlement import Settlement
from canvas.worker.logs import lines as worker_log
from canvas.workflows.status import NodeStatus, RunStatus


@pytest.fixture
def app():
    app = Canvas("readable", broker="memory://readable", backend="memory://readable", set_as_current=False)

    @app.task(name="r.add")
    def add(x, y=0):
        return x + y

    return app


def test_a_plan_names_its_messages(app):
    add = app.tasks["r.add"]
    lines = str(app.plan(chain(add.s(1, y=2), add.s(3), add.s(4)).on_error(add.si(5)))).splitlines()
    assert lines[0] == "1 messages are sent at once"
    assert re.fullmatch(r"  r\.add\(1, y=2\) \[[0-9a-f-]{36}\] then r\.add, r\.add on failure r\.add", lines[1])
    text = str(app.plan(chord(group(add.s(n) for n in range(3)), add.si(1))))
    assert text.count("r.add(") == 3
    assert "then chord body r.add" in text
    assert max(map(len, text.splitlines())) < 200


def test_a_runs_state_is_a_table():
    now = datetime.now(UTC)
    nodes = [
        NodeStatus("load", "SUCCESS", "1", now, now + timedelta(seconds=1.5)),
        NodeStatus("total", "FAILURE", "2", error="wrong"),
    ]
    lines = str(RunStatus("run-1", "night", "FAILURE", now, now, nodes)).splitlines()
    assert lines[0] == "night run-1 FAILURE: 2 of 2 nodes have ended"
    assert lines[1].split() == ["SUCCESS", "load", "1.500", "s"]
    assert lines[2].split() == ["FAILURE", "total", "wrong"]


def test_a_server_that_is_away_is_told_in_few_lines(tmp_path):
    program = (
        "from canvas import Canvas\n"
        "app = Canvas('away', broker='redis://127.0.0.1:1/0')\n"
        "app.send_task('r.add', retry=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    *_, message, page = done.stderr.splitlines()
    assert "OperationalError: Redis at 127.0.0.1:1" in message
    assert page.startswith("See https://")
    assert "another exception" not in done.stderr
    assert "direct cause" not in done.stderr
    assert issubclass(OperationalError, Exception)


def test_an_unknown_task_has_a_nearest_name(caplog, monkeypatch):
    class Message:
        task, id = "r.ad", "1"

    monkeypatch.setattr(worker_log, "_registered", ["r.add", "r.mul"])
    monkeypatch.setattr(worker_log, "_unknown_logged", set())
    with caplog.at_level("ERROR"):
        worker_log._task_unknown(Message, queue="celery", action="dead_letter")
    assert "dead-lettered in queue celery" in caplog.text
    assert "did the sender mean 'r.add'?" in caplog.text


def test_a_call_of_a_task_that_the_app_lacks(app):
    sent = CliRunner().invoke(canvas, ["call", "r.ad", "-a", "[1]"], obj=app)
    assert sent.exit_code == 0
    assert "did you mean r.add? The message was sent." in sent.output
    assert "Warning" not in CliRunner().invoke(canvas, ["call", "r.add", "-a", "[1]"], obj=app).output


def test_a_dead_letter_shows_its_call(app):
    app.send_task("r.lost", (1, "two"), {"key": 3}, task_id="t1", queue="dead")
    [delivery] = app.driver.broker.lease(Lease("w", ["dead"], 1))
    app.driver.settler.settle([Settlement(delivery, disposal="dead_letter", reason="it was refused")])
    shown = CliRunner().invoke(canvas, ["dead-letters", "show", "t1", "-Q", "dead"], obj=app).output
    lines = dict(re.findall(r"^(\w+): +(.*)$", shown, re.MULTILINE))
    assert (lines["task"], lines["reason"]) == ("r.lost", "it was refused")
    assert (lines["args"], lines["kwargs"]) == ("[1, 'two']", "{'key': 3}")


def test_commands_have_a_line_each():
    text = CliRunner().invoke(canvas, ["--help"], terminal_width=100).output
    commands = text.partition("Commands:")[2].partition("\n\n")[0].strip().splitlines()
    assert len(commands) > 15
    assert [line for line in commands if "..." in line or "`" in line or not line.endswith(".")] == []
