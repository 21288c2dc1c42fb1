"""Worker processes for tests: real ``canvas worker`` and real ``celery worker`` commands."""

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.support.forked import ROOT, fork_server

_CELERYS_PATIENCE = 6
"""Seconds: long enough for a Celery worker that stops at all."""


def members(leader):
    """The processes of a group, its leader first."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if int(fields[2]) == leader:
            found.append(int(status.parent.name))
    return sorted(found, key=lambda pid: pid != leader)


def resident(pids):
    """MiB of memory of processes."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids) * 4096 / 2**20


class WorkerProcess:
    """A worker command; ready when its log says so, stopped at the end, its log kept for failures.

    A fork server starts it. With ``new_program`` it is a Python program of its own, as a user starts it: for tests
    about command lines, imports and what a process is at its start.
    """

    def __init__(
        self,
        library,
        broker,
        backend,
        *arguments,
        app="tests.support.apps:app",
        env=None,
        cwd=ROOT,
        python=None,
        new_program=False,
        **settings,
    ):
        self.library = library
        self.log = []
        arguments = ["-A", app, "worker", "-l", "INFO", *arguments]
        if library == "celery":
            arguments += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        environment = {
            **os.environ,
            "APP_LIBRARY": library,
            "APP_BROKER": broker,
            "APP_BACKEND": backend,
            "PYTHONUNBUFFERED": "1",
            **(env or {}),
            **{f"APP_{key.upper()}": str(value) for key, value in settings.items()},
        }
        reading, writing = os.pipe()
        with open(writing, "w") as output:
            server = None if new_program or python else fork_server(library)
            if server is not None and server.suits(environment):
                self.process = server.start(arguments, environment, cwd, output, output, new_session=True)
            else:
                self.process = subprocess.Popen(
                    [str(python or sys.executable), "-m", library, *arguments], env=environment, stdout=output,
                    stderr=subprocess.STDOUT, cwd=cwd, start_new_session=True,
                )  # fmt: skip
        atexit.register(self._kill)  # a test that failed may have left it, on a port that another server gets
        self._reader = threading.Thread(target=self._read, args=(reading,), daemon=True)
        self._reader.start()

    def _read(self, reading):
        with open(reading) as lines:
            for line in lines:
                self.log.append(line)

    def wait_for(self, text, timeout=30):
        """Wait until a log line contains ``text``."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if any(text in line for line in list(self.log)):
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"{self.library} worker never said {text!r}; its log:\n{''.join(self.log)}")

    def ready(self):
        return self.wait_for(" ready.")

    def _kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=20):
        """Its exit code."""
        code = self.process.wait(timeout)
        self._reader.join(5)
        return code

    def stop(self, timeout=20):
        """End it with TERM; with KILL when that takes too long. Its log is complete then."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGCONT)  # a test that failed may have left it stopped
            try:
                self.process.wait(_CELERYS_PATIENCE if self.library == "celery" else timeout)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
                if self.library == "celery":
                    # Its prefork pool sometimes waits for ever for a child that it has killed itself.
                    return
                raise AssertionError(f"worker did not stop in {timeout} s; its log:\n{''.join(self.log)}") from None
        self._reader.join(5)

    def __enter__(self):
        return self.ready()

    def __exit__(self, *exc):
        try:
            self.stop()
        finally:
            if exc[0] is not None:
                sys.stderr.write("".join(self.log[-200:]))
