"""Rows of a table whose measurement may stall: each ends within a bound, and the table shows what was done by then."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypeVar, cast

from benchmarks.arena import LIBRARIES, median
from benchmarks.table import Row, ratio, shown

T = TypeVar("T")


class Stall(NamedTuple):
    """A round without a figure."""

    done: int
    of: int

    def __str__(self) -> str:
        return f"stalled after {self.done:,} of {self.of:,}"


class TooLong(BaseException):
    """A bound is reached. It is not an Exception, so that no library takes it for an error of its own."""


Figures = dict[str, list[float | Stall]]
"""By library, one figure or stall a round."""


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raise TooLong in the main thread when the block takes longer, whatever it waits for."""

    def end(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, end)
    # Again each second: Python ignores what is raised while an object is deleted.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def within(seconds: float, call: Callable[[], T], done: Callable[[], int], of: int) -> T | Stall:
    """What ``call`` returns, or the stall of a call that takes longer. ``done`` counts what it has done ``of`` all."""
    try:
        with bounded(seconds):
            return call()
    except TooLong:
        return Stall(done(), of)


def apart(call: Callable[[], T], seconds: float) -> T:
    """What ``call`` returns in a process of its own, because Celery's results that outlive their server try for minutes
    to reach it. Raises TimeoutError after ``seconds``, when that process and its workers have been killed, and EOFError
    when it has ended without a result."""
    context = multiprocessing.get_context("fork")
    reading, writing = context.Pipe(duplex=False)

    def run() -> None:
        os.setsid()
        writing.send(call())
        os._exit(0)

    process = context.Process(target=run)
    process.start()
    writing.close()
    try:
        if not reading.poll(seconds):
            os.killpg(process.pid or 0, signal.SIGKILL)
            raise TimeoutError(f"a measurement did not end in {seconds:g} s")
        return cast(T, reading.recv())
    finally:
        process.join()


def cell(figures: Sequence[float | Stall]) -> str:
    """The figures of the rounds that ended, and each round that stalled."""
    ended = [one for one in figures if not isinstance(one, Stall)]
    stalls = [str(one) for one in figures if isinstance(one, Stall)]
    return "; ".join([*([shown(ended)] if ended else []), *stalls]) or "–"


def times(row: Row, figures: Figures) -> str:
    """How many times better canvas is: the median ratio of the rounds in which neither library stalled."""
    pairs = zip(*(figures[library] for library in LIBRARIES), strict=True)
    ratios = [
        ratio(row, {library: [one] for library, one in zip(LIBRARIES, pair, strict=True)})
        for pair in pairs
        if not any(isinstance(one, Stall) for one in pair)
    ]
    return f"{median(ratios):.1f}x" if ratios else "–"
