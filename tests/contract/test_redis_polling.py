"""How a connection of canvas' own polls for a reply before it blocks."""

import os
import select
import socket
import time

import pytest

from canvas.drivers.redis.connection import resp
from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.connection.resp import poll_briefly
from canvas.drivers.redis.url import parse


@pytest.fixture
def connection(redis_url):
    client = RedisClient(parse(redis_url, {}))
    yield client.connection()
    client.close()


def test_a_reply_that_is_late_is_awaited_by_a_blocking_read(connection):
    for _ in range(3):
        before = time.thread_time()
        connection.send([("BLPOP", "nothing", "0.2")])
        assert connection.receive() is None
        assert time.thread_time() - before < 0.1
    for _ in range(200):  # it polls again
        connection.send([("PING",)])
        assert connection.receive() == b"PONG"


def test_a_connection_polls_until_there_is_something_to_read_and_for_a_moment_only():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        poll = select.poll()
        poll.register(ours, select.POLLIN)
        assert not poll_briefly(poll)
        theirs.send(b"x")
        assert poll_briefly(poll)


def test_a_reply_that_came_while_another_program_had_the_processor_was_late(monkeypatch):
    ours, theirs = socket.socketpair()

    def slow_yield():
        theirs.send(b"x")
        time.sleep(0.001)

    with ours, theirs:
        poll = select.poll()
        poll.register(ours, select.POLLIN)
        monkeypatch.setattr(os, "sched_yield", slow_yield)
        assert not poll_briefly(poll)


def test_a_connection_polls_the_less_the_more_replies_in_a_row_are_late(connection, monkeypatch):
    polled, late = [], [True]
    monkeypatch.setattr(resp, "poll_briefly", lambda poll: polled.append(read) or not late)
    for read in range(800):  # noqa: B007 - the function above notes it
        connection.send([("PING",)])
        assert connection.receive() == b"PONG"
    start = polled[0]
    assert [read - start for read in polled] == [0, 101, 302, 703]
    late.clear()
    for read in range(800, 1_600):  # noqa: B007
        connection.send([("PING",)])
        connection.receive()
    late.append(True)
    polled.clear()
    for read in range(200):  # noqa: B007
        connection.send([("PING",)])
        connection.receive()
    assert polled == [0, 101]
