"""A fork server and its commands end with the process that they work for."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from canvas.testing.contract import eventually
from tests.support.forked import ROOT

OWNER = """
import os, signal, sys
from tests.support.forked import fork_server
server = fork_server("canvas")
arguments = ["-A", "tests.support.apps:app", "worker", "-P", "solo"]
environment = {**os.environ, "APP_LIBRARY": "canvas", "APP_BROKER": "redis://127.0.0.1:1/0", "PYTHONUNBUFFERED": "1"}
command = server.start(arguments, environment, ".", sys.stderr, sys.stderr, new_session=bool(int(sys.argv[1])))
keeper = os.fork()
if keeper == 0:
    signal.pause()
print(server._process.pid, command.pid, keeper, flush=True)
signal.pause()
"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("new_session", [0, 1], ids=["same session", "new session"])
def test_they_end_when_the_owner_is_killed_and_a_fork_of_it_lives_on(new_session):
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(new_session)], cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with owner:
        server, command, keeper = map(int, owner.stdout.readline().split())
        try:
            assert alive(server)
            assert alive(command)
            owner.kill()
            eventually(lambda: not alive(server) and not alive(command))
            assert alive(keeper)
        finally:
            for pid in (keeper, command, server):
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)
