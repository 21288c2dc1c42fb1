"""Servers of a test that is killed end too."""

import json
import os
import subprocess
import sys

import pytest

from canvas.testing.contract import eventually
from tests.support.forked import ROOT

OWNERS = {
    "redis": """
import json, signal
from tests.support.redis_server import RedisServer
server = RedisServer()
server.start()
print(json.dumps([server.process.pid, str(server.folder)]), flush=True)
signal.pause()
""",
    "postgres": """
import json, signal
from tests.support.postgres import PostgresServer
server = PostgresServer()
server.start()
print(json.dumps([server.pid, str(server.folder)]), flush=True)
signal.pause()
""",
}


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as status:
            return status.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("kind", ["redis", "postgres"])
def test_a_server_ends_with_its_killed_owner(kind):
    with subprocess.Popen([sys.executable, "-c", OWNERS[kind]], cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        pid, folder = json.loads(owner.stdout.readline())
        assert lives(pid)
        owner.kill()
    eventually(lambda: not lives(pid), 30)
    eventually(lambda: not os.path.exists(folder), 30)
