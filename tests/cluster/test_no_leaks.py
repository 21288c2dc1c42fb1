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
from tests.support.redis_cluster import RedisCluster

with RedisCluster() as cluster:
    print(*(node.process.pid for node in cluster.nodes), *(node.folder for node in cluster.nodes), flush=True)
    sys.stdin.read()
"""


def test_the_nodes_of_a_killed_process_are_gone():
    process = subprocess.Popen(
        [sys.executable, "-c", STARTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    with process:
        words = process.stdout.readline().split()
        os.kill(process.pid, signal.SIGKILL)
    pids, folders = words[:3], words[3:]
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    eventually(lambda: not any(Path(folder).exists() for folder in folders))
