"""``celery.contrib.rdb``: a debugger for tasks, which a person reaches over TCP: ``rdb.set_trace()`` in a task.

A worker's output says where to connect, such as ``telnet 127.0.0.1 6899``. A client can run any code in the
process, so the port is bound to loopback unless ``CELERY_RDB_HOST`` names another address.
"""

import errno
import os
import socket
import sys
from pdb import Pdb
from types import FrameType
from typing import Any, TextIO

DEFAULT_PORT = 6899
CELERY_RDB_HOST = os.environ.get("CELERY_RDB_HOST") or "127.0.0.1"
CELERY_RDB_PORT = int(os.environ.get("CELERY_RDB_PORT") or DEFAULT_PORT)


class Rdb(Pdb):
    """A debugger in a session with the first client that connects."""

    me = "Remote Debugger"

    def __init__(
        self, host: str | None = None, port: int | None = None, port_search_limit: int = 100, port_skew: int = 0,
        out: TextIO | None = None,
    ) -> None:  # fmt: skip
        """Wait for a client.

        ``host``, ``port``: where to listen; by default ``CELERY_RDB_HOST`` and ``CELERY_RDB_PORT``. The first free port
        of ``port_search_limit`` ports from ``port + port_skew`` on is taken. ``out`` gets the messages about the
        session. Raises OSError where no port is free.
        """
        self.out = out if out is not None else sys.stdout
        self.active = True
        self.host = CELERY_RDB_HOST if host is None else host
        first = (CELERY_RDB_PORT if port is None else port) + port_skew
        with self.get_avail_port(self.host, first, port_search_limit) as listening:
            self.port: int = listening.getsockname()[1]
            self.ident = f"{self.me}:{self.port}"
            self.say(f"{self.ident}: Ready to connect: telnet {self.host} {self.port}")
            self.say("Type `exit` in session to continue.")
            self.say(f"{self.ident}: Waiting for client...")
            self._client, address = listening.accept()
        self.remote_addr = ":".join(str(part) for part in address)
        self.say(f"{self.ident}: Now in session with {self.remote_addr}.")
        self._before = sys.stdin, sys.stdout
        # One file for both would drop the lines that have come when it writes.
        self._files = self._client.makefile("r"), self._client.makefile("w")
        sys.stdin, sys.stdout = self._files
        super().__init__(completekey="tab", stdin=sys.stdin, stdout=sys.stdout)

    @staticmethod
    def get_avail_port(host: str, port: int, search_limit: int = 100) -> socket.socket:
        """A socket that listens on the first free port from ``port`` on. Raises OSError."""
        for number in range(port, port + search_limit):
            try:
                return socket.create_server((host, number), backlog=1)
            except OSError as exc:
                if exc.errno not in (errno.EADDRINUSE, errno.EINVAL):
                    raise
        last = port + search_limit - 1
        raise OSError(f"rdb: all ports from {port} to {last} are in use; set CELERY_RDB_PORT to the first of others")

    def say(self, m: str) -> None:
        """Write a message about the session."""
        print(m, file=self.out, flush=True)

    def __enter__(self) -> "Rdb":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._close_session()

    def _close_session(self) -> None:
        if self.active:
            self.active = False
            self.stdin, self.stdout = sys.stdin, sys.stdout = self._before
            for file in (*self._files, self._client):
                file.close()
            self.say(f"{self.ident}: Session with {self.remote_addr} ended.")

    def do_continue(self, arg: str) -> bool:
        """End the session; the task continues."""
        self._close_session()
        self.set_continue()
        return True

    do_c = do_cont = do_continue

    def do_quit(self, arg: str) -> bool:
        """The same as ``continue``: a debugger that quits would fail the task."""
        self._close_session()
        self.set_quit()
        return True

    do_q = do_exit = do_quit

    def set_quit(self) -> None:
        """Stop tracing."""
        sys.settrace(None)


_sessions: list[Rdb] = []


def debugger() -> Rdb:
    """The debugger in session in this process. Without one, wait for a client and begin a session with it."""
    if not _sessions or not _sessions[0].active:
        _sessions[:] = [Rdb()]
    return _sessions[0]


def set_trace(frame: FrameType | None = None) -> Any:
    """Stop here, or in ``frame``, and give a client that connects the debugger."""
    return debugger().set_trace(frame or sys._getframe().f_back)
