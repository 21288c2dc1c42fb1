"""Commands that a prepared process forks, where starting Python and importing everything would cost more than the test.

A test process has one :class:`ForkServer` for each library. See :mod:`tests.support.fork_server`.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tests.support.fork_server import CODE

ROOT = Path(__file__).parent.parent.parent


@cache
def fork_server(library):
    """The server of this process for commands of ``library``; it ends with the process."""
    server = ForkServer(library)
    atexit.register(server.close)
    return server


def _read_at_start(environment):
    return {name: value for name, value in environment.items() if name.startswith(("PYTHON", "LC_", "LANG"))}


def run(library, *arguments, environment, folder=ROOT):
    """Run ``python -m LIBRARY ARGUMENTS`` to its end, as ``subprocess.run`` does with its output captured as text.

    Its output is not buffered, whatever ``environment`` contains.
    """
    environment = {**environment, "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = fork_server(library).start(arguments, environment, folder, output, errors)
        try:
            code = process.wait(60)
        finally:
            process.kill()
        found = []
        for file in (output, errors):
            file.seek(0)
            found.append(file.read())
    return subprocess.CompletedProcess(process.args, code, *found)


class ForkServer:
    """Starts commands of a library."""

    def __init__(self, library):
        self._library = library
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_server", library, str(os.getpid())],
                stdin=theirs, cwd=ROOT, env=self._environment, start_new_session=True,
            )  # fmt: skip

    def suits(self, environment):
        """Whether a command can have this environment: Python reads some variables only as it starts."""
        return _read_at_start(environment) == _read_at_start(self._environment)

    def start(self, arguments, environment, folder, stdout, stderr, new_session=False):
        """A :class:`ForkedProcess`: ``python -m`` the library with these arguments."""
        if not self.suits(environment):
            raise ValueError(f"a forked command cannot have {_read_at_start(environment)}")
        request = {
            "module": self._library, "arguments": [str(argument) for argument in arguments], "environment": environment,
            "folder": str(folder), "new_session": new_session,
        }  # fmt: skip
        status, theirs = socket.socketpair()
        with theirs, open(os.devnull) as stdin:
            files = [stdin.fileno(), stdout.fileno(), stderr.fileno(), theirs.fileno()]
            socket.send_fds(self._control, [json.dumps(request).encode()], files)
        return ForkedProcess([self._library, *arguments], status)

    def close(self):
        self._control.close()
        self._process.wait(20)


class ForkedProcess:
    """What ``subprocess.Popen`` is for a process of its own, except that it owns no pipes."""

    def __init__(self, args, status):
        self.args = args
        self.returncode = None
        self._status = status
        self.pid = self._receive(60)

    def poll(self):
        return self._ended(0)

    def wait(self, timeout=None):
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout):
        if self.returncode is None:
            try:
                self.returncode = self._receive(timeout)
            except (TimeoutError, BlockingIOError):
                return None
            self._status.close()
        return self.returncode

    def _receive(self, timeout):
        self._status.settimeout(timeout)
        received = self._status.recv(CODE.size)
        if not received:
            raise RuntimeError(f"the fork server ended before it had started and waited for {self.args}")
        return CODE.unpack(received)[0]
