"""Names of ``celery.utils.debug`` and ``celery.utils.sysinfo``: memory, threads and the machine."""

import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

AUTO_CONCURRENCY = "auto"
_UNITS = ((2**40, "TB"), (2**30, "GB"), (2**20, "MB"), (2**10, "KB"), (0, "b"))
_samples: list[str | None] = []


def load_average() -> tuple[float, float, float]:
    """The load of the last 1, 5 and 15 minutes."""
    one, five, fifteen = (round(load * 100) / 100 for load in os.getloadavg())
    return one, five, fifteen


class df:
    """The room on the file system of a path."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.stat = os.statvfs(path)

    @property
    def total_blocks(self) -> float:
        return self.stat.f_blocks * self.stat.f_frsize / 1024

    @property
    def available(self) -> float:
        return self.stat.f_bavail * self.stat.f_frsize / 1024

    @property
    def capacity(self) -> int:
        """The used part, in percent."""
        used = self.stat.f_blocks - self.stat.f_bfree
        return -(-used * 100 // (used + self.stat.f_bavail))


def is_auto_concurrency(value: Any) -> bool:
    """Whether a number of tasks at once is to be found from the machine."""
    return isinstance(value, str) and value.strip().lower() == AUTO_CONCURRENCY


def available_cpu_count() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2


def hfloat(f: float, p: int = 5) -> Any:
    """A number for people: whole numbers without a fraction."""
    return int(f) if int(f) == f else f"{f:.{p}}"


def humanbytes(s: float) -> str:
    """Bytes for people: ``1.5KB``."""
    return next(f"{hfloat(s / size if size else s)}{unit}" for size, unit in _UNITS if s >= size)


def ps() -> Any:
    """psutil's view of this process; ``None`` where psutil is not installed."""
    try:
        from psutil import Process  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return None
    return Process(os.getpid())


def mem_rss() -> str | None:
    """The memory of this process, for people; ``None`` where psutil is not installed."""
    process = ps()
    return None if process is None else humanbytes(process.memory_info().rss)


def sample_mem() -> str | None:
    """Note how much memory this process has, for ``memdump``."""
    _samples.append(mem_rss())
    return _samples[-1]


def sample(x: Sequence[Any], n: int, k: int = 0) -> Iterator[Any]:
    """``n`` values at even distances, from ``k`` on."""
    step = len(x) // n
    return (x[index] for index in (k + step * count for count in range(n)) if index < len(x))


def memdump(samples: int = 10, file: Any = None) -> None:
    """Print the sizes that ``sample_mem`` has noted, and the memory now."""
    if ps() is None:
        print("- rss: (psutil not installed).", file=file)
        return
    for noted in sample(_samples, samples) if len(_samples) > samples else _samples:
        print(f"-    > {noted},", file=file)
    _samples.clear()
    print(f"- rss (end): {mem_rss()}.", file=file)


def cry(out: Any = None, sepchr: str = "=", seplen: int = 49) -> str:
    """The stacks of all threads, as text."""
    out = io.StringIO() if out is None else out
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if ident in names:
            print(names[ident], sepchr * seplen, sep="\n", file=out)
            traceback.print_stack(frame, file=out)
    return str(out.getvalue())


@contextmanager
def blockdetection(timeout: float | None) -> Iterator[None]:
    """Raise RuntimeError inside a block that takes longer than ``timeout`` seconds. For the main thread."""

    def blocked(_number: int, frame: Any) -> None:
        raise RuntimeError(f"the block has not ended after {timeout} s, at {frame}")

    if not timeout:
        yield
        return
    before = signal.signal(signal.SIGALRM, blocked)
    signal.setitimer(signal.ITIMER_REAL, timeout)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
