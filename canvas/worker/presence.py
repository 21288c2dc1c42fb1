"""How a node shows to what started it that it is there: pid file, ready file, systemd's notify socket."""

import os
import socket
from contextlib import suppress
from pathlib import Path

from canvas.errors import ConfigurationError


class Presence:
    """The files of one node. A file is written whole or not at all, and goes with the node."""

    def __init__(self, pid_file: str | None = None, ready_file: str | None = None) -> None:
        self._pid_file = Path(pid_file) if pid_file else None
        self._ready_file = Path(ready_file) if ready_file else None

    def claim(self) -> None:
        """Write the pid file. Raises ConfigurationError when a living process has it, or it cannot be written."""
        if self._pid_file is None:
            return
        owner = _owner(self._pid_file)
        if owner is not None and owner != os.getpid():
            raise ConfigurationError(
                f"--pidfile {self._pid_file}: process {owner} is running with it; stop that one, or name another file"
            )
        _write(self._pid_file, f"{os.getpid()}\n")

    def ready(self) -> None:
        """Say that the node takes work."""
        if self._ready_file is not None:
            _write(self._ready_file, f"{os.getpid()}\n")
        _notify("READY=1")

    def stopping(self) -> None:
        """Say that it takes no more."""
        _notify("STOPPING=1")
        _remove(self._ready_file)

    def leave(self) -> None:
        """Take the files away."""
        _remove(self._ready_file)
        if self._pid_file is not None and _owner(self._pid_file) == os.getpid():
            _remove(self._pid_file)


def _owner(path: Path) -> int | None:
    """The living process that a pid file names."""
    try:
        pid = int(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ConfigurationError(f"{path}: cannot be read: {exc.strerror}") from exc
    except ValueError:
        return None
    try:
        os.kill(pid, 0)
    except PermissionError:
        return pid
    except (OSError, OverflowError):
        return None
    return pid


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
