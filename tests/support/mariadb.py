"""A MariaDB server for tests, from Debian's package, on a socket in a directory of its own."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pymysql

from tests.support.guard import Guard

_SERVER = Path("/usr/sbin/mariadbd")


def install():
    """Install Debian's server if it is missing; nothing is started. Raises RuntimeError when that cannot be done."""
    if _SERVER.exists():
        return
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        raise RuntimeError("these tests need MariaDB: install Debian's mariadb-server")
    environment = {**os.environ, "RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", "mariadb-server"]):
        subprocess.run(["apt-get", "-qq", *words], env=environment, check=True, timeout=600)


class MariaDBServer:
    """Starts with ``with``."""

    def __init__(self):
        install()
        self.folder = tempfile.mkdtemp(prefix="canvas-test-mariadb-")
        self._databases = 0
        self._user = ["--user=mysql"] if os.getuid() == 0 else []
        if os.getuid() == 0:
            shutil.chown(self.folder, "mysql", "mysql")
        subprocess.run(
            ["mariadb-install-db", f"--datadir={self.folder}/data", "--auth-root-authentication-method=normal",
             "--skip-test-db", *self._user],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self):
        command = [
            str(_SERVER), "--no-defaults", f"--datadir={self.folder}/data", f"--socket={self.folder}/socket",
            f"--pid-file={self.folder}/pid", "--skip-networking", "--innodb-flush-log-at-trx-commit=0", *self._user,
        ]  # fmt: skip
        with open(f"{self.folder}/log", "ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        self._guard = Guard(self.folder, ("KILL", self._process.pid, "mariadbd"))
        deadline = time.monotonic() + 60
        while True:
            try:
                self.run("SELECT 1")
                return
            except pymysql.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError(Path(f"{self.folder}/log").read_text()[-3000:]) from None
                time.sleep(0.1)

    def run(self, statement):
        with pymysql.connect(unix_socket=f"{self.folder}/socket", user="root") as connection:
            connection.cursor().execute(statement)

    def stop(self):
        self._guard.end()
        self._process.kill()
        self._process.wait()

    def new_database(self, kind="mysql"):
        """The URL of an empty database."""
        self._databases += 1
        self.run(f"CREATE DATABASE t{self._databases} CHARACTER SET utf8mb4")
        return f"db+{kind}://root@/t{self._databases}?unix_socket={self.folder}/socket"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
