"""Values in the files of one folder, as Celery's file backend lays them out: ``file:///path``.

A value is written to another file, which is then renamed: no reader sees a part of it. A file's time of change says
when it expires, for Celery's clean-up too: a value that is kept for longer, or shorter, than ``result_expires`` has a
time that is later, or earlier, than that of its writing.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from canvas.drivers.retry_policy import tried
from canvas.errors import ConfigurationError, OperationalError, RefusedError
from canvas.interruptions import raise_interruption
from canvas.model.ids import new_id

T = TypeVar("T")

_LONGEST = 255
"""Bytes of a file's name."""
_WITHOUT_END = 100 * 365 * 86_400.0
"""Seconds for which a value without an end is kept, where the others expire."""
_PAUSES = (0.05, 0.2, 0.5)
"""Seconds before each further try while the folder cannot be used."""


class Files:
    """The KeyValues of a folder."""

    deletes_expired = False

    def __init__(self, folder: str, expires: Callable[[], int | None]) -> None:
        """``expires`` returns the seconds for which most values are kept; ``None``: without an end."""
        self._folder = folder
        self._expires = expires

    def get(self, keys: Sequence[str], retry: bool = True) -> Mapping[str, bytes]:
        found = self._tried(lambda: [self._read(key) for key in keys], retry)
        return {key: value for key, value in zip(keys, found, strict=True) if value}

    def _read(self, key: str) -> bytes | None:
        if not _is_name(key):
            return None
        try:
            with open(os.path.join(self._folder, key), "rb") as file:
                usual = self._expires()
                if usual and os.fstat(file.fileno()).st_mtime + usual <= time.time():
                    return None
                return file.read()
        except FileNotFoundError:
            if not os.path.isdir(self._folder):
                raise
            return None

    def set(self, key: str, value: bytes, seconds: int | None) -> None:
        self._tried(lambda: self._write(key, value, seconds), True)

    def change(self, key: str, change: Callable[[bytes | None], bytes | None], seconds: int | None) -> bool:
        def work() -> bool:
            with self._locked():
                value = change(self._read(key) or None)
                if value is None:
                    return False
                self._write(key, value, seconds)
                return True

        return self._tried(work, True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Writers take turns, those of all processes."""
        with open(os.path.join(self._folder, ".canvas-lock"), "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _write(self, key: str, value: bytes, seconds: int | None) -> None:
        if not _is_name(key):
            raise RefusedError(
                f"result_backend file://{self._folder}: {key[:100]!r} cannot be the name of a file: ids must have "
                f"no '/' and the key at most {_LONGEST} bytes"
            )
        new = os.path.join(self._folder, f".canvas-{new_id()}")
        try:
            with open(new, "wb") as file:
                file.write(value)
            usual = self._expires()
            if usual is not None and usual != seconds:
                moment = time.time() + (seconds or _WITHOUT_END) - usual
                os.utime(new, (moment, moment))
            os.replace(new, os.path.join(self._folder, key))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise

    def delete(self, keys: Iterable[str]) -> None:
        def work() -> None:
            for key in filter(_is_name, keys):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(self._folder, key))

        self._tried(work, True)

    def cleanup(self, prefixes: Sequence[str], seconds: float) -> int:
        return self._tried(lambda: self._clean(tuple(prefixes), time.time() - seconds), True)

    def _clean(self, prefixes: tuple[str, ...], before: float) -> int:
        count = 0
        with os.scandir(self._folder) as entries:
            for entry in entries:
                # Files of writers that died have no other name yet.
                if not entry.name.startswith((*prefixes, ".canvas-")) or entry.name == ".canvas-lock":
                    continue
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat().st_mtime < before:
                        os.unlink(entry.path)
                        count += not entry.name.startswith(".")
        return count

    def _tried(self, call: Callable[[], T], retry: bool) -> T:
        try:
            return tried(call, _PAUSES if retry else (), OSError)
        except OSError as exc:
            raise_interruption(exc)
            raise OperationalError(
                f"result_backend file://{self._folder}: {exc.strerror or exc}: the folder must exist, be readable and "
                "writable here, and have space left"
            ) from exc

    def close(self) -> None:
        """No file stays open."""


def _is_name(key: str) -> bool:
    try:
        return "/" not in key and "\0" not in key and len(os.fsencode(key)) <= _LONGEST
    except UnicodeEncodeError:
        return False


def folder_of(url: str) -> str:
    """The folder of a ``file://`` URL. Raises ConfigurationError for one without an absolute path."""
    path = url.removeprefix("file://").removeprefix("localhost")
    if not path.startswith("/"):
        raise ConfigurationError(f"result_backend: {url} needs an absolute path: file:///var/lib/app/results")
    return path.rstrip("/") or "/"
