"""The servers of a test process end with it, however it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from canvas.testing.contract import eventually
from tests.support.forked import ROOT

STARTS = """
import sys
from tests.support.redis_cluster import Node

with Node() as node:
    print(node.process.pid, node.folder, flush=True)
    sys.stdin.read()
"""


def test_the_node_of_a_killed_process_is_gone():
    process = subprocess.Popen(
        [sys.executable, "-c", STARTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    with process:
        pid, folder = process.stdout.readline().split()
        os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{pid}").exists(), 60)
    eventually(lambda: not Path(folder).exists(), 60)
