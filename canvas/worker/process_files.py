"""How a node shows to what started it that it is there: pid file, ready file, systemd's notify socket."""

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path

from canvas.errors import ConfigurationError
from canvas.forks import in_forks

_SERVERS = (b"celery", b"canvas")
_SLACK = 2.0
"""Seconds by which the system's clocks for processes and for files may differ."""


class PidFileInUse(ConfigurationError):
    """A running worker, or beat, has the pid file."""


class ProcessFiles:
    """The files of one node. A file is written whole or not at all, and deleted when the node ends."""

    def __init__(self, pid_file: str | None = None, ready_file: str | None = None) -> None:
        self._pid_file = Path(pid_file) if pid_file else None
        self._ready_file = Path(ready_file) if ready_file else None
        self._lock = -1
        """The pid file, open and locked while the node runs."""
        self._detach = in_forks(self._unlock)

    def acquire(self) -> None:
        """Write the pid file. Raises ConfigurationError when a running worker has it, or it cannot be written."""
        if self._pid_file is None:
            return
        owner = _owner(self._pid_file)
        if owner is not None and owner != os.getpid():
            raise PidFileInUse(
                f"--pidfile {self._pid_file}: process {owner} is running with it; stop that one, or name another file"
            )
        _write(self._pid_file, f"{os.getpid()}\n")
        self._lock = os.open(self._pid_file, os.O_RDONLY)
        with suppress(OSError):  # a file system without locks: the process is known by its name
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def ready(self) -> None:
        """Say that the node takes work."""
        if self._ready_file is not None:
            _write(self._ready_file, f"{os.getpid()}\n")
        _notify("READY=1")

    def stopping(self) -> None:
        """Say that it takes no more."""
        _notify("STOPPING=1")
        _remove(self._ready_file)

    def remove(self) -> None:
        """Delete the files."""
        _remove(self._ready_file)
        if self._pid_file is not None and _number(self._pid_file) == os.getpid():
            _remove(self._pid_file)
        self._unlock()
        self._detach()


def _owner(path: Path) -> int | None:
    """The running worker that a pid file names. ``None`` where the number is another program's by now."""
    pid = _number(path)
    if pid is None or not _lives(pid):
        return None
    return pid if _is_locked(path) or _is_worker(pid, path) else None


def _number(path: Path) -> int | None:
    """The process id in a pid file; ``None`` where there is none. Raises ConfigurationError when it cannot be read."""
    try:
        pid = int(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ConfigurationError(f"{path}: cannot be read: {exc.strerror}") from exc
    except ValueError:
        return None
    # To kill(), 0 and negative numbers are groups of processes.
    return pid if pid > 0 else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _is_locked(path: Path) -> bool:
    """Whether a canvas worker that runs holds the lock of its pid file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _is_worker(pid: int, path: Path) -> bool:
    """Whether a process without a lock may be the worker that wrote the file: its command line is a worker's, and it
    started before the file was written. Where the system does not show that, it may be."""
    process = Path("/proc", str(pid))
    try:
        command = (process / "cmdline").read_bytes()
        started = _started(process)
        written = path.stat().st_mtime
    except OSError:
        return not Path("/proc/self").exists()
    return any(name in command for name in _SERVERS) and started <= written + _SLACK


def _started(process: Path) -> float:
    """When a process was started, unix time, by its folder in /proc."""
    # The second field is the program's name, which may contain anything.
    fields = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()
    booted = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    return int(booted.split()[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="ascii")
        beside.replace(path)
    except OSError as exc:
        raise ConfigurationError(f"{path}: cannot be written: {exc.strerror}") from exc


def _remove(path: Path | None) -> None:
    if path is not None:
        with suppress(FileNotFoundError):
            path.unlink()


def _notify(state: str) -> None:
    """Tell systemd, where it listens (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel, suppress(OSError):
        channel.sendto(f"{state}\n".encode(), name)
