"""Nodes of a run that run a task once for each item of a list."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from canvas.errors import CompositionError, RunLost
from canvas.model import states
from canvas.model.record import Record
from canvas.model.workflow_run import NodeRef, RunNode, bind_inputs, bound_values, extract, items_id, outline_id
from canvas.producer.problems import problem_of
from canvas.workflows.lifetimes import outlines
from canvas.workflows.steps.attempt import by_policy
from canvas.workflows.steps.earlier_attempts import Earlier, digest_of
from canvas.workflows.steps.loops import LoopAttempt
from canvas.workflows.steps.rules import FAILED


class MapAttempt(LoopAttempt):
    """An attempt that runs maps. Items that do not fit into one settlement are left to the next."""

    def _item(self, place: NodeRef, state: str, value: Any) -> None:
        """Add the part of an ended item of a map."""
        at = place.item
        assert at is not None
        state, value = by_policy(self._node(place.node), state, value)
        self._part(f"{place.node}.items", at, state, value, ["items", place.node], place.size or 0)

    def _map(self, number: int, node: RunNode, values: list[Any]) -> None:
        over = node.binds[0]
        whole = extract(values[over.slot], over.pick, over.slot, self._source_of(number))
        items = leaves(whole, node.depth, node.name)
        if not items:
            self._succeed(number, whole)
            return
        place = NodeRef(self._run, self._attempt, number)
        if len(items) > self._left or node.depth > 1:
            self._effects.record(Record(items_id(place), states.STARTED, [whole, values], None, []), in_run=True)
        made_of = [node.sig, bound_values(node.binds, values, self._source_of(number))]
        size, digest = len(items), digest_of(made_of, self._app.backend.serializer)
        self._effects.record(Record(outline_id(place), states.STARTED, [size, digest], None, []), in_run=True)
        self._items(number, items, values, 0, Earlier.of(self._app, self._runs, place, size, digest))

    def _items(self, number: int, items: Sequence[Any], values: list[Any], first: int, earlier: "Earlier") -> None:
        node = self._node(number)
        assert node.sig is not None
        sig = bind_inputs(node.sig, node.binds[1:], values, self._source_of(number))
        last = min(len(items), first + max(self._left, 1))
        known = earlier.values(range(first, last))
        for at in range(first, last):
            place = NodeRef(self._run, self._attempt, number, at, len(items))
            if at in known:
                self._item(place, states.SUCCESS, known[at])
                continue
            problem = problem_of(partial(self._send, sig, (items[at],), place))
            if problem is not None:
                self._item(place, states.FAILURE, problem)
        self._left -= last - first
        if last < len(items):
            self._part(f"{number}.map.{last}", 0, states.SUCCESS, None, ["map", number, last], 1)

    def _go_on_with_items(self, number: int, first: int) -> None:
        node, (whole, inputs) = self._node(number), self._kept_items(number)
        place, items = NodeRef(self._run, self._attempt, number), leaves(whole, node.depth, node.name)
        (outline,) = outlines(self._app, self._runs, [place])
        if outline is None:
            raise RunLost(f"the outline of {node.name} in run {self._run} is gone from the result backend")
        self._items(number, items, inputs, first, Earlier.of(self._app, self._runs, place, *outline))

    def _kept_items(self, number: int) -> tuple[list[Any], list[Any]]:
        items = items_id(NodeRef(self._run, self._attempt, number))
        kept = self._runs.persist(lambda: self._app.backend.get_records([items]))[0]
        if kept is None:
            raise RunLost(f"the items of {self._node(number).name} in run {self._run} are gone from the result backend")
        return kept.result[0], kept.result[1]

    def _collect(self, number: int, parts: Sequence[tuple[int, str, Any]]) -> None:
        """End a map whose items have all ended."""
        failed = next((value for _, state, value in parts if state in FAILED), None)
        if failed is not None:
            self._record(number, states.FAILURE, failed)
            self._end(number, states.FAILURE, failed)
        else:
            values: Any = [value for _, _, value in parts]
            depth = self._node(number).depth
            if depth > 1:
                values = nested(self._kept_items(number)[0], depth, iter(values))
            self._succeed(number, values)


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
