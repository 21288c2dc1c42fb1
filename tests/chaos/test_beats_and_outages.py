"""Beats go on when their Redis is started again from its file, or replaced by its copy: each tick is sent once."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime

import celery
import pytest
from celery.schedules import schedule
from redbeat import RedBeatSchedulerEntry

from canvas import Canvas
from canvas.beat.sources.redbeat import RedBeatKeys
from canvas.testing.contract import eventually
from tests.support.beats import make_app
from tests.support.processes import ROOT
from tests.support.redis_server import RedisServer
from tests.support.sentinel import MASTER, Watched
from tests.worker.test_beats import counts, messages

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@contextmanager
def beats(urls, number, **environment):
    command = [sys.executable, "-m", "tests.support.beats", *urls]
    started = [subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}) for _ in range(number)]
    try:
        yield
    finally:
        for process in started:
            process.terminate()
        assert [process.wait(30) for process in started] == [0] * number


def ticks(app, more=0, known=None):
    """How often each entry was sent, once each was sent ``more`` times than is ``known``."""
    known = known or {}

    def all_sent():
        found = counts(app)
        return found if found and all(found[name] > known.get(name, 0) + more for name in found) else None

    return eventually(all_sent)


def assert_each_was_sent_once(app):
    sent, found = messages(app), counts(app)
    assert len({one.id for one in sent}) == len(sent)
    assert len(sent) == found["task"] + 2 * found["chord"] + 2 * found["flow"]


def test_a_server_that_starts_again_from_its_file():
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as server:
        urls = server.url(0), server.url(1)
        app = make_app(*urls)
        with beats(urls, 3):
            before = ticks(app, 2)
            server.stop(signal.SIGKILL)
            server.start()
            ticks(app, 2, before)
        assert_each_was_sent_once(app)
        app.close()


def test_a_copy_takes_over():
    with Watched() as watched:
        urls = watched.url(0), watched.url(1)
        app = make_app(*urls, MASTER)
        with beats(urls, 3, MASTER=MASTER):
            ticks(app, 2)
            watched.until_copied()
            watched.servers[0].stop(signal.SIGKILL)
            eventually(lambda: watched.master() == watched.servers[1].port)
            ticks(app, 2, counts(app))
        assert_each_was_sent_once(app)
        app.close()


def test_redbeats_entries_are_found_by_its_sentinels_after_a_copy_took_over():
    with Watched() as watched:
        options = {"sentinels": [("127.0.0.1", port) for port in watched.ports], "service_name": MASTER}
        settings = {
            "redbeat_redis_url": "redis-sentinel://any",
            "redbeat_redis_options": options,
            "broker": "memory://",
        }
        theirs = celery.Celery("theirs", set_as_current=False, **settings)
        keys = RedBeatKeys(Canvas("ours", set_as_current=False, **settings))

        def save(name):
            made = RedBeatSchedulerEntry(name, "add", schedule(60, app=theirs), app=theirs)
            made.last_run_at = None  # it is due at once
            made.save()

        def due():
            return sorted(found.entry.name for found in keys.look(datetime.now(UTC)).entries)

        save("before")
        assert due() == ["before"]
        watched.until_copied()
        watched.servers[0].stop(signal.SIGKILL)
        eventually(lambda: watched.master() == watched.servers[1].port)
        save("after")
        assert due() == ["after", "before"]
