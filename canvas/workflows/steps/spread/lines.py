"""Lines of maps: each item goes from one map to the next as soon as it is done.

A map that takes the items of another one, its feeder, begins when the feeder does. Its units (items, or batches of
them) are started by the settlements that end the feeder's units; a unit that needs several of those, or the end of an
earlier unit of its own, is a chord. The map ends when all of its units have ended, or when its feeder ends early, or
without having begun with its items: a wait finds the first of these.

In an attempt in which the feeder has ended before, such a map runs like any other.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from canvas.model import states
from canvas.model.workflow_run import NodeRef, RunNode, items_id, outline_id
from canvas.workflows.steps.attempt import upstream_failure
from canvas.workflows.steps.earlier_attempts import digest_of
from canvas.workflows.steps.node_rules import FAILED
from canvas.workflows.steps.spread.maps import BATCH_DEFAULT, MapAttempt
from canvas.workflows.steps.waits import NOT_BEGUN


class Share(NamedTuple):
    """The items of a unit of a feeder that are in one unit of the map after it."""

    unit: int
    slot: int
    """Its index among the shares of that unit; ``shares`` is their number."""
    shares: int
    first: int
    """Its first item, among those of the feeder's unit, and the one after its last."""
    last: int


def shares_of(fed: int, of_feeder: int, of_map: int, items: int) -> Iterator[Share]:
    """The shares of the feeder's unit ``fed``; ``of_feeder``, ``of_map``: items in a unit of each."""
    first = fed * of_feeder
    last = min(items, first + of_feeder)
    for unit in range(first // of_map, (last - 1) // of_map + 1):
        begins, ends = unit * of_map, min(items, (unit + 1) * of_map)
        feeder = begins // of_feeder
        shares = (ends - 1) // of_feeder - feeder + 1
        yield Share(unit, fed - feeder, shares, max(begins, first) - first, min(ends, last) - first)


class LineAttempt(MapAttempt):
    """An attempt that runs lines of maps."""

    def _fed_by(self, number: int) -> list[int]:
        """The maps that take the items of this one, in this attempt."""
        node = self._node(number)
        feeds = node.details.get("feeds")
        return [out.node for out in node.outs if out.node in feeds] if feeds else []

    def _begin_line(self, number: int, whole: Any, values: Sequence[Any], items: int, digest: str) -> None:
        """Let the maps that take the items of map ``number`` begin with it. ``values``: the inputs of the first map of
        the line that runs in this attempt."""
        self._begin_after(number, number, whole, values, items, digest)

    def _begin_after(self, number: int, first: int, whole: Any, values: Sequence[Any], items: int, digest: str) -> None:
        for fed in self._fed_by(number):
            node, place = self._node(fed), NodeRef(self._run, self._attempt, fed)
            own = [None, *(values[slot] for slot in node.details["slots"][str(first)])]
            of_fed = self._digest_of_fed(node, own, digest)
            self._keep(outline_id(place), [-(-items // _in_unit(node)), of_fed, items])
            if len(node.binds) > 1 or node.depth > 1:
                self._keep(items_id(place), [whole if node.depth > 1 else [], own])
            self._record(fed, states.STARTED, None)
            self._expect_end(fed, node)
            self._begin_after(fed, first, whole, values, items, of_fed)

    def _digest(self, number: int, node: RunNode, values: list[Any]) -> str:
        if "feeder" not in node.details:
            return super()._digest(number, node, values)
        about, _ = self._runs.metadata(self._run)
        feeder = int(node.details["feeder"])
        outline = self._outline(NodeRef(self._run, about["attempts"][feeder], feeder))
        return self._digest_of_fed(node, values, outline.digest)

    def _digest_of_fed(self, node: RunNode, values: Sequence[Any], digest: str) -> str:
        """The digest of a map whose items come from one of this ``digest``: also in another attempt, in which they come
        from the whole result of that one."""
        bound = [values[bind.slot] for bind in node.binds[1:]]
        return digest_of([node.sig, bound, digest], self._app.backend.serializer)

    def _end_line(self, number: int, state: str, value: Any, source: int = NOT_BEGUN) -> None:
        """End the maps after one that has ended without its items, or early."""
        for fed in self._fed_by(number):
            node = self._node(fed)
            if source == NOT_BEGUN:
                self._take(fed, "end")
            if state in FAILED:
                self._resolve(fed, "end", source, states.FAILURE, upstream_failure(node.name, value))
            else:
                self._resolve(fed, "end", source, state, value)

    def _feed(self, place: NodeRef, state: str, value: Any) -> None:
        """Pass the end of a unit on to the maps that take its items."""
        feeder, unit = self._node(place.node), place.item or 0
        if state == states.SUCCESS and "batch" not in feeder.details:
            value = [value]
        elif value == BATCH_DEFAULT:
            value = [feeder.default] * _in_unit(feeder)
        for fed in self._fed_by(place.node):
            node, items = self._node(fed), place.size or 0
            if _in_unit(feeder) > 1:
                items = self._outline(place._replace(item=None, size=None)).items
            units = -(-items // _in_unit(node))
            for share in shares_of(unit, _in_unit(feeder), _in_unit(node), items):
                given = value[share.first : share.last] if state == states.SUCCESS else value
                self._give(NodeRef(self._run, self._attempt, fed, share.unit, units), share, state, given)

    def _give(self, place: NodeRef, share: Share, state: str, value: Any) -> None:
        """Give a unit one of its shares; start it if that is all it needs."""
        needs = share.shares + self._waits_for_lane(place)
        if needs == 1 and self._left > 0:
            self._left -= 1
            self._start_unit(place, state, value)
        else:
            self._part(*self._unit(place, share.slot), state, value, self._step_of_unit(place, share.shares), needs)

    def _unit(self, place: NodeRef, slot: int) -> tuple[str, int]:
        return f"{place.node}.unit.{place.item}", slot

    def _step_of_unit(self, place: NodeRef, shares: int) -> list[Any]:
        return ["unit", place.node, place.item, place.size, shares]

    def _waits_for_lane(self, place: NodeRef) -> bool:
        lanes: int | None = self._node(place.node).details.get("concurrency")
        return lanes is not None and (place.item or 0) >= lanes

    def _lane(self, place: NodeRef) -> None:
        if not self._node(place.node).is_fed:
            super()._lane(place)
        elif (place.item or 0) < (place.size or 0):
            shares = self._shares(place)
            step = self._step_of_unit(place, shares)
            self._part(*self._unit(place, shares), states.SUCCESS, None, step, shares + 1)

    def _revoke_lane(self, place: NodeRef) -> None:
        if self._node(place.node).is_fed:
            self._lane(place)
        else:
            super()._revoke_lane(place)

    def _shares(self, place: NodeRef) -> int:
        """How many shares a unit is made of."""
        node = self._node(place.node)
        of_feeder, of_map = _in_unit(self._node(node.details["feeder"])), _in_unit(node)
        if of_feeder == of_map:
            return 1
        items = self._outline(place._replace(item=None, size=None)).items
        begins = (place.item or 0) * of_map
        return (min(items, begins + of_map) - 1) // of_feeder - begins // of_feeder + 1

    def _on_unit(self, place: NodeRef, shares: int, parts: Sequence[tuple[int, str, Any]]) -> None:
        """Start a unit that has all it needs."""
        given = [part for part in parts if part[0] < shares]
        failed = next(((state, value) for _, state, value in given if state in FAILED), None)
        state, value = failed or (states.SUCCESS, [one for _, _, values in given for one in values])
        self._left -= 1
        self._start_unit(place, state, value)

    def _start_unit(self, place: NodeRef, state: str, value: Any) -> None:
        """Start a unit with the list of its items; ``state``: whether all of these are there."""
        node, whole = self._node(place.node), place._replace(item=None, size=None)
        if state in FAILED:
            self._item(place, states.FAILURE, upstream_failure(node.name, value))
            return
        if self._goes_on_with_item(node, place):
            return
        values = self._kept(items_id(whole))[1] if len(node.binds) > 1 else []
        item = value if "batch" in node.details else value[0]
        self._start_item(node, self._sig_of_items(place.node, node, values), item, place, self._item)

    def _resume_map(self, step: Sequence[Any], parts: Sequence[tuple[int, str, Any]]) -> None:
        if step[0] != "unit":
            super()._resume_map(step, parts)
            return
        _, number, item, size, shares = step
        self._on_unit(NodeRef(self._run, self._attempt, number, item, size), shares, parts)


def _in_unit(node: RunNode) -> int:
    """How many items one task of a map runs for."""
    return int(node.details.get("batch") or 1)
