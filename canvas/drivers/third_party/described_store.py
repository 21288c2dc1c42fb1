"""A store of another package whose methods raise errors of canvas.

A worker keeps what it could not store, and tries again, where it gets an OperationalError. The exceptions of other
libraries would end it.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from functools import wraps
from inspect import iscoroutinefunction, isfunction
from typing import Any

from canvas.drivers.ports.chords import ChordStore
from canvas.drivers.ports.results import RefusingStore, ResultStore, TableStore
from canvas.drivers.ports.runs import RunRecords
from canvas.drivers.third_party.failures import described

_PORTS = (ResultStore, RefusingStore, TableStore, ChordStore, RunRecords)


def describe(store: Any, name: str) -> None:
    """Replace the methods of a store by ones that call them. ``name`` is that of the store in errors."""
    where = f"result backend {name!r}"
    for method in {one for port in _PORTS for one, own in vars(port).items() if isfunction(own)}:
        call = getattr(store, method, None)
        if callable(call) and not method.startswith("_"):
            setattr(store, method, _BY_NAME.get(method, _described)(call, where))


def _described(call: Callable[..., Any], where: str) -> Callable[..., Any]:
    if iscoroutinefunction(call):

        @wraps(call)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            with described(where):
                return await call(*args, **kwargs)

        return awaited

    @wraps(call)
    def called(*args: Any, **kwargs: Any) -> Any:
        with described(where):
            return call(*args, **kwargs)

    return called


class _Watch:
    """A watch of the store's; ``next`` is called, or awaited."""

    def __init__(self, watch: Any, where: str) -> None:
        self.next = _described(watch.next, where)
        self.drop = _described(watch.drop, where)


def _watch(watch: Callable[..., Any], where: str) -> Callable[..., Any]:
    @contextmanager
    def watching(task_ids: Iterable[str]) -> Iterator[_Watch]:
        with ExitStack() as stack:
            with described(where):
                opened = stack.enter_context(watch(task_ids))
            yield _Watch(opened, where)

    return watching


def _awatch(watch: Callable[..., Any], where: str) -> Callable[..., Any]:
    @asynccontextmanager
    async def watching(task_ids: Iterable[str]) -> AsyncIterator[_Watch]:
        async with AsyncExitStack() as stack:
            with described(where):
                opened = await stack.enter_async_context(watch(task_ids))
            yield _Watch(opened, where)

    return watching


_BY_NAME = {"watch": _watch, "awatch": _awatch}
