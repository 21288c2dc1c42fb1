"""The tasks before a result, looked at now and then while that is waited for (semantics.md R6, R7)."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from canvas.errors import OperationalError
from canvas.model import states
from canvas.model.record import Record

_FIRST_PAUSE = 0.05
_LAST_PAUSE = 1.0
_TIMES_A_LOOK = 20


class Ancestors:
    """The tasks before one result that have not succeeded yet, the first of all first.

    They are looked at, not subscribed to: whoever waits for a chord's body is not sent its 100,000 values. Looks are
    a second apart at most, but take no more than a twentieth of the time.
    """

    def __init__(self, backend: Any, parent: Any) -> None:
        """``parent``: the handle before the result, ``None`` where there is none to look at."""
        line = []
        while parent is not None:
            line.append(parent)
            parent = parent.parent
        self._backend = backend
        self._unsure = [leaf for node in reversed(line) for leaf in node.leaves()]
        self._pause = _FIRST_PAUSE

    def patience(self, left: float | None) -> float | None:
        """Seconds to wait until the next look, when ``left`` are left in all."""
        return min(left if left is not None else math.inf, self._pause) if self._unsure else left

    def look(self) -> None:
        """Raises the error of the first that failed. Says nothing while the server is away: the wait itself does."""
        failed = None
        with self._looking():
            suspects = self._suspects(self._backend.succeeded(_ids(self._unsure)))
            failed = self._failed(suspects, self._backend.get_records(_ids(suspects)))
        if failed is not None:
            failed.throw()

    async def alook(self) -> None:
        """``look`` on an event loop."""
        failed = None
        with self._looking():
            suspects = self._suspects(await self._backend.asucceeded(_ids(self._unsure)))
            failed = self._failed(suspects, await self._backend.aget_records(_ids(suspects)))
        if failed is not None:
            failed.throw()

    @contextmanager
    def _looking(self) -> Iterator[None]:
        began = time.monotonic()
        with suppress(OperationalError):
            yield
        self._pause = max(min(self._pause * 2, _LAST_PAUSE), (time.monotonic() - began) * _TIMES_A_LOOK)

    def _suspects(self, succeeded: Sequence[bool | None]) -> list[Any]:
        """Those with a record that may say anything but success; the successful are looked at no more."""
        found = list(zip(self._unsure, succeeded, strict=True))
        self._unsure = [leaf for leaf, success in found if not success]
        return [leaf for leaf, success in found if success is False]

    def _failed(self, suspects: list[Any], records: Sequence[Record | None]) -> Record | None:
        kept = [leaf.keep(record) for leaf, record in zip(suspects, records, strict=True) if record is not None]
        return next((record for record in kept if record.status in states.PROPAGATE_STATES), None)


def _ids(leaves: list[Any]) -> list[str]:
    return [leaf.id for leaf in leaves]
