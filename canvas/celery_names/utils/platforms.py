"""Names of ``celery.platforms``: exit codes, users, signals, pid files."""

import errno
import grp
import os
import platform
import pwd
import signal as _signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from canvas.errors import ConfigurationError
from canvas.remote.signal_names import signal_named
from canvas.worker.process_files import ProcessFiles

SYSTEM = platform.system()
IS_macOS = SYSTEM == "Darwin"
IS_WINDOWS = SYSTEM == "Windows"
EX_OK, EX_FAILURE = getattr(os, "EX_OK", 0), 1
EX_UNAVAILABLE, EX_USAGE, EX_CANTCREAT = 69, 64, 73
SIGMAP = {getattr(_signal, name): name for name in dir(_signal) if name.startswith("SIG") and "_" not in name}


class LockFailed(Exception):
    """A pid file belongs to a process that runs."""


class Pidfile:
    """A file with this process's id, while it is acquired; a context manager."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self._files = ProcessFiles(self.path)

    def acquire(self) -> "Pidfile":
        """Write the file. Raises LockFailed when a running worker has it."""
        try:
            self._files.acquire()
        except ConfigurationError as exc:
            raise LockFailed(str(exc)) from exc
        return self

    def release(self, *exc: object) -> None:
        """Remove the file."""
        self._files.remove()

    __enter__ = acquire
    __exit__ = release

    def is_locked(self) -> bool:
        return os.path.exists(self.path)

    def read_pid(self) -> int | None:
        """The id in the file; None without it. Raises ValueError for other text."""
        try:
            with open(self.path) as file:
                return int(file.readline())
        except FileNotFoundError:
            return None

    def write_pid(self) -> None:
        """Write this process's id. Raises FileExistsError where there is a file."""
        with open(self.path, "x") as file:
            file.write(f"{os.getpid()}\n")

    def remove_if_stale(self) -> bool:
        """Remove the file unless it names another process that runs. Returns whether it was removed."""
        try:
            pid = self.read_pid()
        except ValueError:
            pid = None
        if pid and pid != os.getpid():
            try:
                os.kill(pid, 0)
                return False
            except ProcessLookupError:
                pass
            except PermissionError:
                # As in Celery: a process of another user's is not a worker of this one's.
                pass
        self.remove()
        return True

    def remove(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self.path)


def create_pidlock(pidfile: str) -> Pidfile:
    """Acquire a pid file for the life of the process. Raises SystemExit when a running worker has it."""
    try:
        return Pidfile(pidfile).acquire()
    except LockFailed as exc:
        sys.exit(f"ERROR: {exc}")


def pyimplementation() -> str:
    return platform.python_implementation()


def parse_uid(uid: int | str) -> int:
    """A user's number, from itself or the name. Raises KeyError."""
    return int(uid) if str(uid).isdecimal() else pwd.getpwnam(str(uid)).pw_uid


def parse_gid(gid: int | str) -> int:
    """A group's number, from itself or the name. Raises KeyError."""
    return int(gid) if str(gid).isdecimal() else grp.getgrnam(str(gid)).gr_gid


def setuid(uid: int | str) -> None:
    os.setuid(parse_uid(uid))


def setgid(gid: int | str) -> None:
    os.setgid(parse_gid(gid))


class Signals:
    """Signals by name: ``signals["INT"] = handler``."""

    ignored = _signal.SIG_IGN
    default = _signal.SIG_DFL

    @staticmethod
    def signum(name: Any) -> int:
        """The number of a signal, from itself or its name. Raises AttributeError."""
        if isinstance(name, int):
            return name
        number = signal_named(name)
        if number is None:
            raise AttributeError(f"module 'signal' has no attribute {name!r}")
        return number.value

    @staticmethod
    def supported(name: str) -> bool:
        return signal_named(name) is not None

    def reset(self, *names: str) -> None:
        self.update(dict.fromkeys(names, self.default))

    def ignore(self, *names: str) -> None:
        self.update(dict.fromkeys(names, self.ignored))

    def update(self, handlers: Any = None, **named: Any) -> None:
        for name, handler in {**(handlers or {}), **named}.items():
            self[name] = handler

    def __getitem__(self, name: str) -> Any:
        return _signal.getsignal(self.signum(name))

    def __setitem__(self, name: str, handler: Callable[..., Any]) -> None:
        with suppress(AttributeError, ValueError):  # a signal this system does not have; not the main thread
            _signal.signal(self.signum(name), handler)

    @staticmethod
    def arm_alarm(seconds: float) -> None:
        _signal.setitimer(_signal.ITIMER_REAL, seconds)

    @staticmethod
    def reset_alarm() -> None:
        _signal.alarm(0)


signals = Signals()


def signal_name(signum: int) -> str:
    return SIGMAP[signum][3:]


def get_errno_name(n: Any) -> int:
    """The number of an error, from itself or its name."""
    return int(getattr(errno, n)) if isinstance(n, str) else n


@contextmanager
def ignore_errno(*errnos: Any, types: tuple[type[BaseException], ...] | None = None) -> Iterator[None]:
    """Suppress OSError (or ``types``) with one of these numbers or names."""
    numbers = {get_errno_name(one) for one in errnos}
    try:
        yield
    except Exception as exc:
        if not isinstance(exc, types or (OSError,)) or getattr(exc, "errno", None) not in numbers:
            raise


def isatty(fh: Any) -> bool:
    """Whether a stream is a terminal."""
    with suppress(AttributeError, ValueError):
        return bool(fh.isatty())
    return False


def set_process_title(progname: str, info: str | None = None) -> str:
    """The title that Celery would give the process; it is not set."""
    return f"[{progname}] {info}" if info else f"[{progname}]"
