"""Nodes of a run that run a task once for each item of a list."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from canvas.errors import CompositionError, RunLost
from canvas.model import states
from canvas.model.record import Record
from canvas.model.workflow_run import (
    PAGE,
    NodeRef,
    RunNode,
    bind_inputs,
    bound_values,
    extract,
    items_id,
    outline_id,
    page_id,
)  # fmt: skip
from canvas.primitives.mapping import batch
from canvas.producer.problems import problem_of
from canvas.workflows.steps.attempt import by_policy
from canvas.workflows.steps.earlier_attempts import Earlier, digest_of
from canvas.workflows.steps.loops import LoopAttempt
from canvas.workflows.steps.rules import FAILED
from canvas.workflows.steps.waits import STOPPED

BATCH_DEFAULT = "default of each item"
"""The part of a batch that has failed, where ``on_failure=\"continue\"``."""


class MapAttempt(LoopAttempt):
    """An attempt that runs maps. Items that do not fit into one settlement are left to the next.

    With a ``concurrency`` of n the items are n lanes: the end of item i starts item i + n.
    """

    def _item(self, place: NodeRef, state: str, value: Any) -> None:
        """Add the part of an ended item of a map, and start the next of its lane."""
        self._item_part(place, state, value)
        lanes = self._node(place.node).details.get("concurrency")
        if lanes and state != states.REVOKED:
            self._lane(place._replace(item=(place.item or 0) + lanes))

    def _item_part(self, place: NodeRef, state: str, value: Any) -> None:
        at, node = place.item or 0, self._node(place.node)
        state, value = self._of_item(node, at, *by_policy(node, state, value))
        self._part(f"{place.node}.items", at, state, value, ["items", place.node], place.size or 0)
        most = node.details.get("stop_after")
        if most is not None and state in FAILED:
            self._part(f"{place.node}.failures", at, state, value, ["failures", place.node], most)

    def _of_item(self, node: RunNode, at: int, state: str, value: Any) -> tuple[str, Any]:
        """The default of a batch that has failed stands for each of its items."""
        if node.details.get("batch") and node.continue_on_failure and value is node.default:
            return state, BATCH_DEFAULT
        return state, value

    def _map(self, number: int, node: RunNode, values: list[Any]) -> None:
        over = node.binds[0]
        whole = extract(values[over.slot], over.pick, over.slot, self._source_of(number))
        items = items_in(whole, node)
        if not items:
            self._succeed(number, whole)
            return
        place = NodeRef(self._run, self._attempt, number)
        few = node.details.get("concurrency")
        if few or len(items) > self._left or node.depth > 1 or node.details.get("batch"):
            self._keep(
                items_id(place), [whole if not few or node.depth > 1 or node.details.get("batch") else [], values]
            )
        for page in range(0, len(items), PAGE) if few else ():
            self._keep(page_id(place, page // PAGE), items[page : page + PAGE])
        made_of = [node.sig, bound_values(node.binds, values, self._source_of(number))]
        size, digest = len(items), digest_of(made_of, self._app.backend.serializer)
        self._keep(outline_id(place), [size, digest])
        self._items(number, items, values, 0, Earlier.of(self._app, self._runs, place, size, digest))

    def _keep(self, record_id: str, value: Any) -> None:
        self._effects.record(Record(record_id, states.STARTED, value, None, []), in_run=True)

    def _items(self, number: int, items: Sequence[Any], values: list[Any], first: int, earlier: "Earlier") -> None:
        """Start the items from ``first`` on: as many as fit into one settlement, and as may run at once."""
        node = self._node(number)
        sig = self._sig_of_items(number, node, values)
        starting = min(len(items), node.details.get("concurrency") or len(items))
        last = min(starting, first + max(self._left, 1))
        known = earlier.values(range(first, last))
        for at in range(first, last):
            place = NodeRef(self._run, self._attempt, number, at, len(items))
            if at in known:
                self._item_later(place, states.SUCCESS, known[at])
            else:
                self._start_item(node, sig, items[at], place, self._item_later)
        self._left -= last - first
        if last < starting:
            self._part(f"{number}.map.{last}", 0, states.SUCCESS, None, ["map", number, last], 1)

    def _sig_of_items(self, number: int, node: RunNode, values: Sequence[Any]) -> dict[str, Any]:
        assert node.sig is not None
        return bind_inputs(node.sig, node.binds[1:], values, self._source_of(number))

    def _item_later(self, place: NodeRef, state: str, value: Any) -> None:
        """As ``_item``, from the settlement that keeps the items, so that the next of its lane is left to another."""
        self._item_part(place, state, value)
        following = (place.item or 0) + (self._node(place.node).details.get("concurrency") or place.size or 0)
        if following < (place.size or 0):
            self._lane_later(place._replace(item=following))

    def _lane_later(self, place: NodeRef) -> None:
        name, step = f"{place.node}.lane.{place.item}", ["lane", place.node, place.item, place.size]
        self._part(name, 0, states.SUCCESS, None, step, 1)

    def _start_item(
        self, node: RunNode, sig: dict[str, Any], item: Any, place: NodeRef, ended: Callable[[NodeRef, str, Any], None]
    ) -> None:
        """Send an item's task; ``ended`` is called where it cannot be sent."""
        send = partial(self._send, sig, (item,), place)
        if node.details.get("batch"):
            send = partial(self._send, dict(batch(sig, item, app=self._app)), (), place)
        problem = problem_of(send)
        if problem is not None:
            ended(place, states.FAILURE, problem)

    def _lane(self, place: NodeRef) -> None:
        """Start an item of a map that starts few at a time, if there is one. The records that it needs are read once
        by each process."""
        at, size = place.item or 0, place.size or 0
        if at >= size:
            return
        if self._left <= 0:
            self._lane_later(place)
            return
        self._left -= 1
        node, whole = self._node(place.node), place._replace(item=None, size=None)
        known = self._of_earlier(whole, at)
        if known:
            self._item(place, states.SUCCESS, known[at])
            return
        _, values = self._kept(items_id(whole))
        items = self._kept(page_id(whole, at // PAGE))
        self._start_item(node, self._sig_of_items(place.node, node, values), items[at % PAGE], place, self._item)

    def _of_earlier(self, place: NodeRef, at: int) -> dict[int, Any]:
        """The value of an item that has succeeded in an earlier attempt."""
        if place.attempt == 0:
            return {}
        size, digest = self._kept(outline_id(place))
        return Earlier.of(self._app, self._runs, place, size, digest).values([at])

    def _kept(self, record_id: str) -> Any:
        """A record that never changes. Raises RunLost."""
        record = self._runs.unchanging(record_id, lambda: self._app.backend.get_records([record_id])[0])
        if record is None:
            raise RunLost(f"the record {record_id} of a map is gone from the result backend")
        return record.result

    def _go_on_with_items(self, number: int, first: int) -> None:
        node, (whole, inputs) = self._node(number), self._kept_items(number)
        place = NodeRef(self._run, self._attempt, number)
        size, digest = self._kept(outline_id(place))
        few = node.details.get("concurrency")
        items = items_in(whole, node) if not few else _Paged(partial(self._page, place), size)
        self._items(number, items, inputs, first, Earlier.of(self._app, self._runs, place, size, digest))

    def _page(self, place: NodeRef, page: int) -> list[Any]:
        found: list[Any] = self._kept(page_id(place, page))
        return found

    def _resume_map(self, step: Sequence[Any], parts: Sequence[tuple[int, str, Any]]) -> None:
        """Take a step of a map: its kind, the map's number, and the arguments of that kind."""
        kind, number, *rest = step
        match kind:
            case "items":
                self._collect(number, parts)
            case "failures":
                self._resolve(number, "end", STOPPED, states.FAILURE, parts[0][2])
            case "lane":
                self._lane(NodeRef(self._run, self._attempt, number, *rest))
            case _:
                self._go_on_with_items(number, *rest)

    def _kept_items(self, number: int) -> tuple[list[Any], list[Any]]:
        whole, inputs = self._kept(items_id(NodeRef(self._run, self._attempt, number)))
        return whole, inputs

    def _collect(self, number: int, parts: Sequence[tuple[int, str, Any]]) -> None:
        """End a map whose items have all ended."""
        node = self._node(number)
        failed = next((value for _, state, value in parts if state in FAILED), None)
        if failed is not None:
            self._over(number, states.FAILURE, failed)
            return
        values: Any = [value for _, _, value in parts]
        if node.details.get("batch"):
            batches = items_in(self._kept_items(number)[0], node)
            values = [one for made, of in zip(values, batches, strict=True) for one in _of_batch(made, of, node)]
        if node.depth > 1:
            values = nested(self._kept_items(number)[0], node.depth, iter(values))
        self._over(number, states.SUCCESS, values)


class _Paged(Sequence[Any]):
    """Items that are read page by page."""

    def __init__(self, page: Callable[[int], list[Any]], size: int) -> None:
        self._page = page
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, at: Any) -> Any:
        return self._page(at // PAGE)[at % PAGE]


def items_in(whole: Any, node: RunNode) -> list[Any]:
    """The items of a map, or its batches of them. Raises CompositionError for a value that is no list."""
    items, size = leaves(whole, node.depth, node.name), node.details.get("batch")
    return [items[at : at + size] for at in range(0, len(items), size)] if size else items


def _of_batch(made: Any, items: Sequence[Any], node: RunNode) -> Sequence[Any]:
    return [node.default] * len(items) if made == BATCH_DEFAULT else made


def leaves(whole: Any, depth: int, name: str) -> list[Any]:
    """The items of lists that are nested ``depth`` levels deep. Raises CompositionError for other values."""
    if not isinstance(whole, list | tuple):
        raise CompositionError(f"{name}: expected a list to map over; got {type(whole).__name__} {whole!r:.100}")
    if depth == 1:
        return list(whole)
    return [leaf for inner in whole for leaf in leaves(inner, depth - 1, name)]


def nested(whole: Sequence[Any], depth: int, values: Iterator[Any]) -> list[Any]:
    """``values`` in lists of the same shape."""
    if depth == 1:
        return [next(values) for _ in whole]
    return [nested(inner, depth - 1, values) for inner in whole]
