"""What tasks should not do, and some do."""

import asyncio
import sys


class Unprintable(Exception):
    def __repr__(self):
        raise RuntimeError("no text")

    __str__ = __repr__


class _Nameless(type):
    def __getattribute__(cls, name):
        if name in ("__name__", "__qualname__", "__module__"):
            raise RuntimeError("no name")
        return super().__getattribute__(name)


class OfNoName(Exception, metaclass=_Nameless):
    pass


class NoException(BaseException):
    pass


class Unwritable:
    def __init__(self, exc):
        self._exc = exc

    def __json__(self):
        raise self._exc


def _raise(exc):
    raise exc


BREAKS_OFF = {
    "exit": lambda: sys.exit(3),
    "cancelled": lambda: _raise(asyncio.CancelledError("its own")),
    "interrupt": lambda: _raise(KeyboardInterrupt()),
    "generator": lambda: _raise(GeneratorExit()),
    "no exception": lambda: _raise(NoException("odd")),
}
"""What ends tasks without being an Exception."""
FAILS = {
    "unprintable": lambda: _raise(Unprintable()),
    "of no name": lambda: _raise(OfNoName()),
    "unprintable within": lambda: _raise(ValueError(Unprintable())),
    "unprintable in a group": lambda: _raise(ExceptionGroup("several", [Unprintable()])),
    "unwritable": lambda: Unwritable(KeyError("no form")),
    "unwritable at all": lambda: Unwritable(SystemExit(9)),
}
"""What ends tasks in failures that are hard to tell of."""


async def _cancelled():
    waiting = asyncio.create_task(asyncio.sleep(60))
    waiting.cancel()
    await waiting


async def _leave():
    await asyncio.sleep(0)
    sys.exit(3)


async def _in_a_group():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_leave())
        await asyncio.sleep(60)


COROUTINES = {
    "a cancelled task": _cancelled,
    "a gathered exit": lambda: asyncio.gather(_leave(), asyncio.sleep(0.01)),
    "an exit in a group": _in_a_group,
}
"""What else ends coroutines so."""
