"""``canvas events``: lines of events, and cameras."""

import io
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery.events.dumper import Dumper

from canvas.cli.monitoring.events import Lines
from canvas.testing.contract import eventually
from tests.support.processes import ROOT
from tests.worker.commands import canvas, start


def test_events_are_printed_as_celerys_dumper_prints_them():
    common = {"hostname": "w@h", "utcoffset": 0, "pid": 7, "clock": 3, "timestamp": 1_750_000_000.25}
    received = {"uuid": "u1", "name": "t.add", "args": "(1, 2)", "kwargs": "{}", "retries": 0, "eta": None}
    events = [
        {**common, "type": "worker-online", "sw_ident": "py"},
        {**common, "type": "task-received", **received},
        {**common, "type": "task-succeeded", "uuid": "u1", "result": "3", "runtime": 0.5},
        {**common, "type": "task-failed", "uuid": "unknown", "exception": "E()"},
        {**common, "type": "task-custom", "uuid": "u1"},
    ]
    out, lines = io.StringIO(), Lines()
    dumper = Dumper(out)
    for event in events:
        dumper.on_event(dict(event))
    assert [lines(event) for event in events] == out.getvalue().splitlines()


@contextmanager
def camera(bench, folder, *flags):
    """A camera that runs here, or with ``--detach`` in the background; at its end it is interrupted, and is gone."""
    pid_file = folder / "pid"
    environment = {**os.environ, "APP_LIBRARY": "canvas", "PICTURES": str(folder / "pictures")}
    environment |= dict(zip(("APP_BROKER", "APP_BACKEND", "APP_LEDGER"), bench.urls(), strict=True))
    command = [sys.executable, "-m", "canvas", "-A", "tests.support.apps:app", "events", "-c"]
    options = ("tests.support.camera:Camera", "-F", "0.1", "-l", "INFO", "--pidfile", str(pid_file), *flags)
    process = subprocess.Popen([*command, *options], cwd=ROOT, env=environment)
    try:
        if flags:
            assert process.wait(20) == 0
        eventually(lambda: pid_file.exists() and pid_file.read_text().strip())
        number = int(pid_file.read_text())
        assert (number == process.pid) == (not flags)
        yield folder / "pictures"
    finally:
        if pid_file.exists():
            os.kill(int(pid_file.read_text()), signal.SIGINT)
    eventually(lambda: not pid_file.exists())
    assert process.wait(20) == 0
    eventually(lambda: not running(number))


def running(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("flags", [(), ("--detach", "-f")], ids=["here", "detached"])
def test_a_camera_takes_pictures_of_the_state(bench, app, tmp_path, flags):
    log = tmp_path / "log"
    with (
        start(bench, "-P", "solo", "-E", "-n", "seen@here"),
        camera(bench, tmp_path, *flags, *([str(log)] if flags else [])) as ready,
    ):
        eventually(lambda: ready.exists() and "seen@here" in ready.read_text())
        app.tasks["t.add"].delay(1, 2).get(timeout=20)
        eventually(lambda: "seen@here 1" in ready.read_text())
    assert log.exists() == bool(flags)


def test_a_camera_that_is_not_there_and_flags_without_one_are_refused(bench):
    wrong = canvas(bench, "events", "-c", "tests.support.nothing:Camera", check=False)
    assert (wrong.returncode, "--camera tests.support.nothing:Camera: cannot import it" in wrong.stderr) == (2, True)
    assert "--pidfile: expected --camera with it" in canvas(bench, "events", "--pidfile", "x", check=False).stderr
