"""Beats and workers at once, killed at every named instant: each tick runs once."""

import os
import signal
from uuid import uuid4

import pytest
import redis

from canvas.testing.contract import eventually
from tests.chaos.workload import runs_of
from tests.support.beats import make_app
from tests.support.process_signals import resume, suspend
from tests.support.processes import ROOT, WorkerProcess, members
from tests.support.redis_cluster import RedisCluster
from tests.worker.test_beats import INSTANTS, counts, running, start, urls  # noqa: F401 - a fixture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
_OUTBOXES = "canvas.drivers.amqp.outboxes:Outboxes._publish"
_MESSAGES = "canvas.drivers.sql.state.messages:SqlMessages.sent"
BETWEEN_SERVERS = {
    "amqp": [f"{_OUTBOXES}:before:2", f"{_OUTBOXES}:after:2", f"{_MESSAGES}:before:3", f"{_MESSAGES}:after:3"],
    "redis+cluster": [
        f"canvas.drivers.redis.partitions.crossings:Crossings.bring:{when}:1" for when in ("before", "after")
    ],
    "redis": ["canvas.drivers.two_step_schedules:TwoStepSchedules._record:after:1"],
}
"""By broker, calls of a beat between the two servers: with RabbitMQ and in a cluster after the claim, with two of Redis
before it."""
TASKS = {"task": 1, "chord": 3, "flow": 3}
"""By entry, how many tasks one tick runs."""


class Ledger:
    """Where the tasks note their runs; for ``runs_of``."""

    def __init__(self, server):
        self.url, self.key = server.url(2), uuid4().hex
        self.ledgers = redis.Redis.from_url(self.url, decode_responses=True)


@pytest.fixture
def ledger(redis_server):
    return Ledger(redis_server)


def sent(app):
    """How often each entry was sent; an entry that cleans results up at night is left out."""
    found = counts(app)
    return {name: found.get(name, 0) for name in TASKS}


def grown(app, more):
    """Wait until each entry was sent ``more`` times again."""
    before = sent(app)
    eventually(lambda: all(count >= before[name] + more for name, count in sent(app).items()), 90)


def deaths(urls, environment):  # noqa: F811
    """Beats that each die at one instant."""
    found = [start(urls, *instant, **environment) for instant in INSTANTS]
    kind = urls[0].partition("://")[0]
    one_server = kind == "redis" and urls[0].rpartition("/")[0] == urls[1].rpartition("/")[0]
    between = [] if one_server else BETWEEN_SERVERS[kind]
    return found + [start(urls, APP_DIE_IN=call, **environment) for call in between]


def test_each_tick_runs_once_whoever_is_killed_when(urls, ledger):  # noqa: F811
    assert_each_tick_runs_once(urls, ledger)


def test_each_tick_runs_once_in_a_cluster(ledger):
    """The entries are in another slot than their messages."""
    with RedisCluster() as cluster:
        assert_each_tick_runs_once((cluster.url(), cluster.url()), ledger)


def assert_each_tick_runs_once(urls, ledger):  # noqa: F811
    app = make_app(*urls)
    environment = {"LEDGER": ledger.url, "LEDGER_KEY": ledger.key}

    def worker():
        options = ("-P", "threads", "-c", "4", "-n", f"{uuid4().hex}@here")
        where = {"app": "tests.support.embedded:app", "env": environment, "cwd": ROOT, "short_leases": 1}
        return WorkerProcess("canvas", *urls, *options, **where).ready()

    with worker(), running([start(urls), start(urls)]) as beats:
        doomed = worker()
        grown(app, 1)
        suspend(beats[0].pid)
        killed = deaths(urls, environment)
        beats.extend(killed)
        eventually(lambda: all(process.poll() == -signal.SIGKILL for process in killed), 90)
        dead = members(doomed.process.pid)
        os.killpg(doomed.process.pid, signal.SIGKILL)
        grown(app, 3)
        resume(beats[0].pid)
        grown(app, 2)
        for process in beats[:2]:
            process.terminate()
            process.wait(20)
        expected = sum(TASKS[name] * count for name, count in sent(app).items())
        eventually(lambda: len(runs_of(ledger, ledger.key)) >= expected, 90)
        eventually(lambda: app.driver.admin.in_flight().leased == 0, 60)
    runs = runs_of(ledger, ledger.key)
    assert len(runs) == expected
    assert all(len([pid for pid, _ in found if pid not in dead]) <= 1 for found in runs.values())
    app.close()
