"""Pages that a generator yields, for a node that works page by page.

The generator runs to its end in one task, because no other process could go on with it. Its pages are kept as they
come, and the node is given one after the other. The cursor of a page names the run of the generator: if a worker dies,
the generator runs again, and nothing has been done yet with the pages of its first run.
"""

import asyncio
from collections.abc import AsyncIterable, Iterable
from typing import Any, NamedTuple

from canvas.errors import CompositionError, RunLost
from canvas.model import states
from canvas.model.record import Record
from canvas.workflows.run_records import yielded_id
from canvas.workflows.services import WorkflowServices
from canvas.workflows.steps.pages import ITEMS, NEXT


class _Cursor(NamedTuple):
    """The place of a page: the run of the generator, the page's number, and how many pages there are."""

    token: str
    page: int
    size: int

    @property
    def record_id(self) -> str:
        return yielded_id(self.token, self.page)

    def with_items(self, items: Any) -> dict[str, Any]:
        """This page, with the cursor of the next one."""
        after = self._replace(page=self.page + 1)
        return {ITEMS: items, NEXT: list(after) if after.page < self.size else None}


def first_page(app: WorkflowServices, pages: Iterable[Any]) -> dict[str, Any]:
    """The first of these pages, after all of them are kept. Raises CompositionError for a page that is not a list."""
    token, kept = app.new_id(), list[Any]()
    count = 0
    for count, page in enumerate(pages, 1):
        _keep(app, token, count - 1, page, kept)
    return _Cursor(token, 0, count).with_items(kept[0] if kept else [])


async def afirst_page(app: WorkflowServices, pages: AsyncIterable[Any]) -> dict[str, Any]:
    """``first_page`` of an asynchronous generator."""
    token, kept, count = app.new_id(), list[Any](), 0
    async for page in pages:
        await asyncio.to_thread(_keep, app, token, count, page, kept)
        count += 1
    return _Cursor(token, 0, count).with_items(kept[0] if kept else [])


def kept_page(app: WorkflowServices, cursor: Any) -> dict[str, Any]:
    """The page of this cursor. The page before it is in the results of its node by now, and is deleted here. Raises
    RunLost for a page that is gone."""
    place = _Cursor(*cursor)
    (record,) = app.backend.get_records([place.record_id])
    if record is None:
        raise RunLost(f"page {place.page + 1} that a generator has yielded is gone from the result backend")
    app.backend.forget(place._replace(page=place.page - 1).record_id)
    return place.with_items(record.result)


async def akept_page(app: WorkflowServices, cursor: Any) -> dict[str, Any]:
    """``kept_page`` on an event loop."""
    return await asyncio.to_thread(kept_page, app, cursor)


def _keep(app: WorkflowServices, token: str, page: int, items: Any, first: list[Any]) -> None:
    """Keep a page: the first one in ``first``, the others in the result backend."""
    if not isinstance(items, list | tuple):
        raise CompositionError(f"page {page + 1}: expected the generator to yield a list of items; got {items!r:.100}")
    if not page:
        first.append(list(items))
        return
    record = Record(_Cursor(token, page, 0).record_id, states.SUCCESS, list(items), None, [])
    app.backend.keep(record)
