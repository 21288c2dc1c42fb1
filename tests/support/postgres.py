"""A PostgreSQL server for tests, from Debian's package, on a socket in a directory of its own."""

import glob
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

from tests.support.guard import Guard

_INSTALL = [["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "postgresql"]]


def _programs():
    """The directory of the newest server's programs; installs Debian's package when there is none."""
    pattern = "/usr/lib/postgresql/*/bin"
    if not glob.glob(pattern):
        # A policy of 101 keeps Debian from starting the server that it installs.
        policy = "/usr/sbin/policy-rc.d"
        made = not os.path.exists(policy)
        if made:
            with open(policy, "w") as file:
                file.write("#!/bin/sh\nexit 101\n")
            os.chmod(policy, 0o755)
        try:
            for command in _INSTALL:
                subprocess.run(command, check=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        finally:
            if made:
                os.unlink(policy)
    return max(glob.glob(pattern), key=lambda path: int(path.split("/")[4]))


class PostgresServer:
    """Starts with ``with``; ``stop`` and ``start`` again keep the data."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="canvas-test-pg-")
        self._bin = _programs()
        self._databases = 0
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self._run("initdb", "-D", f"{self.folder}/data", "-U", "postgres", "-A", "trust", "--no-sync")

    def _run(self, program, *arguments):
        user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        subprocess.run(
            [f"{self._bin}/{program}", *arguments], check=True, cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, **user,
        )  # fmt: skip

    def start(self):
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off"
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-w", "-l", f"{self.folder}/log", "-o", options, "start")
        self.pid = int(Path(f"{self.folder}/data/postmaster.pid").read_text().split()[0])
        # It ends its other processes with itself.
        self._guard = Guard(self.folder, ("QUIT", self.pid, "postgres"))

    def stop(self):
        self._guard.end()
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-w", "-m", "immediate", "stop")

    def url(self, database="postgres"):
        return f"db+postgresql+psycopg://postgres@/{database}?host={self.folder}"

    def new_database(self, options=""):
        """The URL of an empty database; ``options``: further ones of CREATE DATABASE."""
        self._databases += 1
        name = f"t{self._databases}"
        with psycopg.connect(f"host={self.folder} user=postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} STRATEGY file_copy {options}")
        return self.url(name)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
