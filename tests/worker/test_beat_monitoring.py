"""What a running beat shows: HTTP probes, metrics, remote control, the history of its entries."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from canvas import Canvas
from canvas.testing.contract import eventually
from tests.support.beats import make_app
from tests.support.processes import ROOT, WorkerProcess
from tests.support.redis_server import free_port
from tests.worker.commands import invoked
from tests.worker.test_metrics import get, value


@pytest.fixture
def beat(redis_url, result_url):
    """A beat with an HTTP port and remote control; its port and its app."""
    port = free_port()
    options = ("--http-address", str(port), "--max-interval", "0", "-l", "INFO", "--", "beat.enable_remote_control=1")
    command = [sys.executable, "-m", "canvas", "-A", "tests.support.embedded:app", "beat", *options]
    environment = {**os.environ, "APP_BROKER": redis_url, "APP_BACKEND": result_url}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield port, make_app(redis_url, result_url), process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        assert process.wait(20) == 0


def answers(port, path):
    try:
        return get(port, path)
    except OSError:
        return None


def test_beat_counts_its_ticks_and_says_that_it_is_healthy(beat):
    port, app, _ = beat
    eventually(lambda: answers(port, "/health"))
    assert get(port, "/health") == (200, "ok\n")

    def counted():
        page = get(port, "/metrics")[1]
        return page if (value(page, "canvas_beat_sent_total") or 0) > 5 else None

    page = eventually(counted)
    assert 0 < value(page, "canvas_beat_lag_seconds_count") <= value(page, "canvas_beat_sent_total")
    assert (value(page, "canvas_beat_missed_total"), value(page, "canvas_beat_skipped_total")) == (0, 0)
    sent = sum(one.state.count for one in app.schedule.list())
    assert value(get(port, "/metrics")[1], "canvas_beat_sent_total") >= sent - 1


def test_a_beat_answers_ping_and_leaves_other_commands_to_workers(beat):
    port, app, _ = beat
    eventually(lambda: answers(port, "/health"))
    (answer,) = eventually(lambda: app.control.ping(timeout=2, limit=1))
    ((node, reply),) = answer.items()
    assert (node.startswith("celerybeat@"), reply) == (True, {"ok": "pong"})
    assert app.control.broadcast("active", reply=True, timeout=0.5) == []
    clocks = eventually(lambda: app.control.inspect(timeout=2, limit=1).clock())
    assert clocks[node]["clock"] > 0


def test_a_beat_that_does_not_look_for_due_entries_is_not_healthy(redis_url, result_url):
    from canvas.beat import Service

    moment = [100.0]
    service = Service(make_app(redis_url, result_url), monotonic=lambda: moment[0])
    assert service.trouble() == ""
    moment[0] += 32
    assert service.trouble() == "beat has not looked for due entries for 32 s"


@pytest.mark.parametrize("command", ["beat", "worker"])
@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("nosuch.thing=3", "nosuch.thing is no setting"), ("thing", "unexpected extra argument .thing."),
        ("beat.max_loop_interval=x", "beat_max_loop_interval: expected a number; got 'x'"),
    ],
)  # fmt: skip
def test_words_that_are_no_settings(command, word, error):
    with Canvas("words", broker="memory://words", set_as_current=False) as app:
        done = invoked(app, command, word, check=False)
    assert done.returncode == 2
    assert re.search(error, done.stderr)


def test_a_worker_with_beat_has_its_metrics_too(redis_url, result_url):
    port = free_port()
    options = ("-P", "solo", "-B", "-l", "INFO", "--http-address", str(port))
    with WorkerProcess("canvas", redis_url, result_url, *options, app="tests.support.embedded:app", cwd=ROOT):
        eventually(lambda: (value(get(port, "/metrics")[1], "canvas_beat_sent_total") or 0) > 2)


def test_the_history_of_an_entry_shows_what_became_of_its_ticks(redis_url, result_url):
    app = make_app(redis_url, result_url)
    options = ("-P", "solo", "-B", "-l", "INFO")
    with WorkerProcess("canvas", redis_url, result_url, *options, app="tests.support.embedded:app", cwd=ROOT):
        eventually(lambda: min([one.state.count for one in app.schedule.list()], default=0) > 2)

        def ended(name):
            lines = invoked(app, "schedule", "history", name, "--json").stdout.splitlines()
            ticks = [json.loads(line) for line in lines]
            return ticks if any(tick["state"] == "SUCCESS" for tick in ticks) else None

        found = {name: eventually(lambda name=name: ended(name)) for name in ("task", "chord", "flow")}
    for ticks in found.values():
        assert {tick["action"] for tick in ticks} == {"send"} and len(ticks) <= 10
        moments = [tick["at"] for tick in ticks]
        assert moments == sorted(moments, reverse=True)
        assert all(len(tick["ids"]) == 1 for tick in ticks)
    assert "   sent   SUCCESS   " in invoked(app, "schedule", "history", "task").stdout
    assert invoked(app, "schedule", "history", "nothing", check=False).returncode == 1
