"""A private Memcached for tests, from Debian's package, on a port of its own."""

import os
import shutil
import socket
import subprocess
import sys
import time

from tests.support.guard import Guard
from tests.support.redis_server import free_port

_ELSEWHERE = "/usr/bin/memcached"


def install():
    """The program's path; installs Debian's package when it is missing. Raises RuntimeError when that cannot be done."""
    found = shutil.which("memcached") or (_ELSEWHERE if os.path.exists(_ELSEWHERE) else None)
    if found:
        return found
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        raise RuntimeError("the tests need Memcached: install Debian's memcached")
    environment = {**os.environ, "RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", "memcached"]):
        done = subprocess.run(
            ["apt-get", "-qq", *words], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"apt-get {words[0]} failed: the tests need memcached\n{done.stderr[-2000:]}")
    return install()


class MemcachedServer:
    """Starts with ``with``; after ``stop``, ``start`` gives an empty server on the same port."""

    def __init__(self, *options):
        self.port = free_port()
        self._options = options
        self._process = None

    def start(self):
        user = ["-u", "nobody"] if os.getuid() == 0 else []
        command = [install(), "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-t", "2", *user, *self._options]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self._guard = Guard("", ("KILL", self._process.pid, "memcached"))
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"memcached did not start: {self._process.stderr.read()}") from None
                time.sleep(0.01)

    def stop(self):
        self._guard.end()
        self._process.kill()
        self._process.wait()
        self._process.stderr.close()

    def flush(self):
        """Delete all values."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(b"flush_all\r\n")
            assert connection.recv(100) == b"OK\r\n"

    @property
    def url(self):
        return f"cache+memcached://127.0.0.1:{self.port}/"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop()


if __name__ == "__main__":
    assert sys.argv[1:] == ["install"]
    install()
