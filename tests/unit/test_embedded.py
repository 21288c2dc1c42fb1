"""The private Redis: starts, answers, and is gone with its owner."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from canvas.embedded import EmbeddedRedis
from canvas.errors import ConfigurationError, OperationalError
from canvas.testing import embedded_redis


def gone(path, seconds=10):
    deadline = time.monotonic() + seconds
    while os.path.exists(path) or subprocess.run(["pgrep", "-f", path], check=False, capture_output=True).stdout:
        assert time.monotonic() < deadline, f"{path} is still there"
        time.sleep(0.02)


def test_it_answers_and_leaves_nothing():
    with EmbeddedRedis() as server:
        client = redis.Redis(unix_socket_path=server.socket)
        assert client.ping()
        assert os.stat(Path(server.socket).parent).st_mode & 0o077 == 0
        socket = server.socket
    gone(socket)
    assert not Path(socket).parent.exists()


def test_two_are_two():
    with EmbeddedRedis() as one, EmbeddedRedis() as two:
        redis.Redis(unix_socket_path=one.socket).set("a", 1)
        assert redis.Redis(unix_socket_path=two.socket).get("a") is None


def test_it_dies_with_a_killed_owner():
    code = "import time\nfrom canvas.embedded import EmbeddedRedis\ns = EmbeddedRedis().start()\nprint(s.socket, flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        socket = owner.stdout.readline().strip()
        owner.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while subprocess.run(["pgrep", "-f", socket], check=False, capture_output=True).stdout:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_outlives_the_thread_that_started_it():
    with ThreadPoolExecutor(1) as executor:
        server = executor.submit(EmbeddedRedis().start).result(20)
    try:
        time.sleep(0.2)  # in which the kernel would have sent a signal
        assert redis.Redis(unix_socket_path=server.socket).ping()
    finally:
        server.stop()


def test_a_server_that_cannot_start_says_why():
    with pytest.raises(OperationalError, match="did not start"):
        EmbeddedRedis("--no-such-option", "x").start()


def test_without_any_server(monkeypatch):
    monkeypatch.setattr(embedded_redis.shutil, "which", lambda name: None)
    packaged = embedded_redis.find_server()
    assert Path(packaged).name.startswith("redis-server")
    monkeypatch.setattr(embedded_redis, "_packaged", lambda: None)
    with pytest.raises(ConfigurationError, match="embedded"):
        embedded_redis.find_server()
