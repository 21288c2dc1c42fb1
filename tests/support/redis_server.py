"""A Redis server for tests, on a free loopback port."""

import shutil
import signal
import subprocess
import tempfile
import time

import redis

from canvas.testing.embedded_redis import find_server
from tests.support.apps import let_results_go
from tests.support.guard import Guard
from tests.support.ports import free_port


class RedisServer:
    """Starts with ``with``, in a directory of its own; ``stop`` and ``start`` again keep the port."""

    def __init__(self, *arguments):
        self.port = free_port()
        self.folder = tempfile.mkdtemp(prefix="canvas-test-redis-")
        self.arguments = arguments
        self.process = None
        self._guard = None

    def start(self):
        command = [
            find_server(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self.folder,
            "--unixsocket", f"{self.folder}/redis.sock", "--logfile", f"{self.folder}/log", *self.arguments,
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self._guard = Guard(self.folder, ("KILL", self.process.pid, "redis-server"))
        deadline = time.monotonic() + 20
        while True:
            try:
                if self.client().ping():
                    return self
            except redis.AuthenticationError:
                return self
            except redis.ConnectionError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.01)

    def client(self, db=0, **options):
        return redis.Redis(port=self.port, db=db, **options)

    def url(self, db=0):
        return f"redis://127.0.0.1:{self.port}/{db}"

    def send_signal(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM):
        if self.process is not None:
            let_results_go()
            self._guard.end()
            self.send_signal(number)
            self.process.wait(60)
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
