"""Servers of a test that is killed end too."""

import multiprocessing
import os
import signal

import pytest

from canvas.testing.contract import eventually
from tests.support.postgres import PostgresServer
from tests.support.redis_server import RedisServer


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as status:
            return status.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("kind", ["redis", "postgres"])
def test_a_server_ends_with_its_killed_owner(kind):
    reading, writing = multiprocessing.Pipe(duplex=False)

    def own():
        server = RedisServer() if kind == "redis" else PostgresServer()
        server.start()
        writing.send((server.process.pid if kind == "redis" else server.pid, server.folder))
        signal.pause()

    owner = multiprocessing.get_context("fork").Process(target=own)
    owner.start()
    assert reading.poll(120)
    pid, folder = reading.recv()
    assert lives(pid)
    os.kill(owner.pid, signal.SIGKILL)
    owner.join()
    eventually(lambda: not lives(pid), 30)
    eventually(lambda: not os.path.exists(folder), 30)
