"""kombu's pools in a process that is forked while one of its connections is in use."""

import os
import subprocess
import sys
from contextlib import suppress

import kombu
import pytest

from canvas import Canvas
from canvas.forks import _resets

MESSAGE = {"n": 1}


@pytest.fixture
def app(redis_url):
    return Canvas("a", broker=redis_url, set_as_current=False)


@pytest.fixture
def waiting(app):
    """A consumer that has asked the server for a message, and reads the answer later."""
    with app.pool.acquire(block=True) as connection, connection.SimpleQueue("letters") as letters:
        with pytest.raises(letters.Empty):
            letters.get(timeout=0.01)
        yield letters


def forked(call):
    """The exit code of a forked process that makes a call: 0 when it returns true."""
    pid = os.fork()
    if not pid:
        code = 2
        with suppress(BaseException):
            code = 0 if call() else 1
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_the_parent_gets_its_answer(app, waiting):
    """A forked process does not read it."""
    assert forked(lambda: True) == 0
    with kombu.Connection(app.conf.broker_url) as other, other.SimpleQueue("letters") as letters:
        letters.put(MESSAGE)
    assert waiting.get(timeout=20).payload == MESSAGE


def test_the_child_has_connections_of_its_own(app, waiting):
    with app.pool.acquire(block=True) as idle:
        idle.ensure_connection()

    def used():
        with app.pool.acquire(block=True) as connection, connection.SimpleQueue("others") as others:
            others.put(MESSAGE)
            return connection is not idle and others.get(timeout=20).payload == MESSAGE

    assert forked(used) == 0
    with app.pool.acquire(block=True) as again:
        assert again is idle


def test_a_program_starts_in_the_meantime(waiting):
    """Functions for forked processes also run before the program that ``subprocess`` starts with ``preexec_fn``."""
    done = subprocess.run(
        [sys.executable, "-c", "print(1)"], preexec_fn=lambda: None, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "1\n"


def test_pools_are_registered_once(app):
    app.pool
    before = set(_resets)
    for _ in range(3):
        app.pool, app.producer_pool
    assert not set(_resets) - before
