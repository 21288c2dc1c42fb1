"""Two Redis servers, one a copy of the other, and three sentinels that replace the first when it fails."""

import subprocess
import time
from pathlib import Path

import redis

from canvas.testing.embedded_redis import find_server
from tests.support.redis_server import RedisServer, free_port

MASTER = "main"


class Watched:
    """``with Watched() as watched``: ``watched.servers[0]`` begins as master, ``watched.url()`` leads to who is it."""

    def __init__(self):
        first = RedisServer()
        self.servers = [first, RedisServer("--replicaof", "127.0.0.1", str(first.port))]
        self.ports = [free_port() for _ in range(3)]
        self._sentinels = []

    def __enter__(self):
        for server in self.servers:
            server.start()
        for port in self.ports:
            self._watch(port)
        self._until(lambda: self.servers[0].client().info("replication")["connected_slaves"] == 1)
        for port in self.ports:
            self._until(lambda port=port: _knows(redis.Redis(port=port).sentinel_master(MASTER)))
        return self

    def _watch(self, port):
        path = Path(self.servers[0].folder) / f"sentinel-{port}.conf"
        path.write_text(
            f"port {port}\nbind 127.0.0.1\nsentinel monitor {MASTER} 127.0.0.1 {self.servers[0].port} 2\n"
            f"sentinel down-after-milliseconds {MASTER} 1000\nsentinel failover-timeout {MASTER} 5000\n"
            f"logfile {path}.log\n"
        )
        self._sentinels.append(subprocess.Popen([find_server(), str(path), "--sentinel"]))

    def _until(self, happened, within=20):
        deadline = time.monotonic() + within
        while True:
            try:
                if happened():
                    return
            except redis.RedisError:
                pass  # it is still starting
            assert time.monotonic() < deadline, "the sentinels never agreed"
            time.sleep(0.05)

    def url(self, db=0):
        return ";".join(f"sentinel://127.0.0.1:{port}/{db}" for port in self.ports)

    def until_copied(self):
        """Return when the copy has all that was written before."""
        connection = self.servers[0].client()
        connection.set("copied", 1, ex=5)
        assert connection.wait(1, 5000) == 1

    def master(self):
        """The port of who is master, as a sentinel sees it."""
        return int(redis.Redis(port=self.ports[0], decode_responses=True).sentinel_get_master_addr_by_name(MASTER)[1])

    def __exit__(self, *exc):
        for sentinel in self._sentinels:
            sentinel.terminate()
            sentinel.wait(60)
        for server in self.servers:
            server.__exit__(*exc)


def _knows(found):
    return found["num-slaves"] == 1 and found["num-other-sentinels"] == 2
