"""Nodes of a run that run a task once for each item of a list."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from canvas.errors import RunLost, TaskRevokedError, UpstreamFailed
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
from canvas.producer.send_errors import problem_of
from canvas.workflows.steps.attempt import by_policy
from canvas.workflows.steps.child_runs import goes_on_inside_parts
from canvas.workflows.steps.earlier_attempts import Earlier, digest_of
from canvas.workflows.steps.loops import LoopAttempt
from canvas.workflows.steps.node_rules import FAILED
from canvas.workflows.steps.spread.items import Outline, Paged, items_in, leaves, nested
from canvas.workflows.steps.waits import STOPPED

BATCH_DEFAULT = "default of each item"
"""The value in the chord part of a batch that has failed under ``on_failure=\"continue\"``."""


class MapAttempt(LoopAttempt):
    """An attempt that runs maps. Items that do not fit into one settlement are left to the next.

    With a ``concurrency`` of n the items are n lanes: the end of item i starts item i + n.
    """

    def _item(self, place: NodeRef, state: str, value: Any) -> None:
        """Add the part of an ended item of a map, and start the next of its lane."""
        self._item_part(place, state, value)
        lanes = self._node(place.node).details.get("concurrency")
        if lanes:
            following = place._replace(item=(place.item or 0) + lanes)
            if state == states.REVOKED:
                self._revoke_lane(following)
            else:
                self._lane(following)

    def _item_part(self, place: NodeRef, state: str, value: Any) -> None:
        at, node = place.item or 0, self._node(place.node)
        by_default = state in FAILED
        state, value = by_policy(node, state, value)
        by_default = by_default and state not in FAILED
        if by_default and "batch" in node.details:
            # The default of a batch that has failed stands for each of its items.
            value = BATCH_DEFAULT
        self._part(f"{place.node}.items", at, state, value, ["items", place.node], place.size or 0)
        most = node.details.get("stop_after")
        if most is not None and state in FAILED and not isinstance(value, UpstreamFailed):
            self._part(f"{place.node}.failures", at, state, value, ["failures", place.node], most)
        if "feeds" in node.details:
            self._feed(place, state, value)

    def _map(self, number: int, node: RunNode, values: list[Any]) -> None:
        over = node.binds[0]
        whole = extract(values[over.slot], over.pick, over.slot, self._source_of(number))
        items = items_in(whole, node)
        if not items:
            self._succeed(number, whole)
            self._end_line(number, states.SUCCESS, whole)
            return
        place = NodeRef(self._run, self._attempt, number)
        few = node.details.get("concurrency")
        if few or len(items) > self._left or node.depth > 1 or node.details.get("batch"):
            self._keep(
                items_id(place), [whole if not few or node.depth > 1 or node.details.get("batch") else [], values]
            )
        for page in range(0, len(items), PAGE) if few else ():
            self._keep(page_id(place, page // PAGE), items[page : page + PAGE])
        size, digest = len(items), self._digest(number, node, values)
        count = len(leaves(whole, node.depth, node.name))
        self._keep(outline_id(place), [size, digest, count])
        self._begin_line(number, whole, values, count, digest)
        self._items(number, items, values, 0, Earlier.of(self._app, self._runs, place, size, digest))

    def _digest(self, number: int, node: RunNode, values: list[Any]) -> str:
        """The digest by which another attempt finds that the items are the same."""
        made_of = [node.sig, bound_values(node.binds, values, self._source_of(number))]
        return digest_of(made_of, self._app.backend.serializer)

    @abstractmethod
    def _begin_line(self, number: int, whole: Any, values: Sequence[Any], items: int, digest: str) -> None: ...

    @abstractmethod
    def _feed(self, place: NodeRef, state: str, value: Any) -> None: ...

    def _keep(self, record_id: str, value: Any) -> None:
        """Keep a value that never changes."""
        self._kept_now[record_id] = value
        self._outbox.record(Record(record_id, states.STARTED, value, None, []), in_run=True)

    def _items(self, number: int, items: Sequence[Any], values: list[Any], first: int, earlier: "Earlier") -> None:
        """Start the items from ``first`` on: as many as fit into one settlement, and as may run at once."""
        node = self._node(number)
        sig = self._sig_of_items(number, node, values)
        starting = min(len(items), node.details.get("concurrency") or len(items))
        last = min(starting, first + max(self._left, 1))
        known = earlier.ended(range(first, last))
        begun = earlier.inside(
            [at for at in range(first, last) if at not in known] if goes_on_inside_parts(node) else []
        )
        for at in range(first, last):
            place = NodeRef(self._run, self._attempt, number, at, len(items))
            if at in known:
                self._item_later(place, *known[at])
            elif at in begun:
                self._go_on_with_part(place, begun[at])
            else:
                self._start_item(node, sig, items[at], place, self._item_later)
        self._left -= last - first
        if last < starting:
            self._part(f"{number}.map.{last}", 0, states.SUCCESS, None, ["map", number, last], 1)

    def _sig_of_items(self, number: int, node: RunNode, values: Sequence[Any]) -> dict[str, Any]:
        assert node.sig is not None
        return bind_inputs(node.sig, node.binds[1:], values, self._source_of(number))

    def _item_later(self, place: NodeRef, state: str, value: Any) -> None:
        """Like ``_item``, from the settlement that keeps the items, so that the next of its lane is left to another."""
        self._item_part(place, state, value)
        following = (place.item or 0) + (self._node(place.node).details.get("concurrency") or place.size or 0)
        if following < (place.size or 0):
            self._lane_later(place._replace(item=following))

    def _lane_later(self, place: NodeRef) -> None:
        self._part(f"{place.node}.lane.{place.item}", 0, states.SUCCESS, None, _lane_step(place, place.item or 0), 1)

    def _start_item(
        self, node: RunNode, sig: dict[str, Any], item: Any, place: NodeRef, ended: Callable[[NodeRef, str, Any], None]
    ) -> None:
        """Send an item's task; ``ended`` is called where it cannot be sent."""
        failed = partial(ended, place, states.FAILURE)
        send = partial(self._send_together, sig, (item,), place, failed)
        if node.details.get("batch"):
            send = partial(self._send_together, self._batch_of(sig, item), (), place, failed)
        problem = problem_of(send)
        if problem is not None:
            failed(problem)

    def _batch_of(self, sig: dict[str, Any], items: Any) -> dict[str, Any]:
        """The signature of the task that runs these items: sent as their task is, with its route and its options. Its
        callbacks are those of an item, and there is none."""
        options = {"route_name": sig["task"], **self._app.exec_options(sig["task"]), **sig["options"]}
        own = {name: value for name, value in options.items() if name not in ("link", "link_error")}
        return {**batch(sig, items, app=self._app), "options": own}

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
        if self._goes_on_with_item(node, place):
            return
        _, values = self._kept(items_id(whole))
        items = self._kept(page_id(whole, at // PAGE))
        self._start_item(node, self._sig_of_items(place.node, node, values), items[at % PAGE], place, self._item)

    def _revoke_lane(self, place: NodeRef) -> None:
        """Go on with a lane of which an item was revoked: with the map, the other items are revoked too."""
        whole = place._replace(item=None, size=None)
        (record,) = self._read([whole])
        if record is not None and record.status in states.READY_STATES:
            return
        about, attempt = self._runs.metadata(self._run)
        if attempt == self._attempt and not about["cancelled"]:
            self._lane(place)
            return
        lanes, error = int(self._node(place.node).details["concurrency"]), TaskRevokedError("revoked")
        for item in range(place.item or 0, place.size or 0, lanes):
            if self._left <= 0:
                self._part(f"{place.node}.revoked.{item}", 0, states.REVOKED, error, _lane_step(place, item), 1)
                return
            self._left -= 1
            self._item_part(place._replace(item=item), states.REVOKED, error)

    def _goes_on_with_item(self, node: RunNode, place: NodeRef) -> bool:
        """Use what an earlier attempt at this item has come to: its end, or the run that has begun in its place."""
        if place.attempt == 0:
            return False
        at, whole = place.item or 0, place._replace(item=None, size=None)
        outline = self._outline(whole)
        earlier = Earlier.of(self._app, self._runs, whole, outline.size, outline.digest)
        known = earlier.ended([at])
        begun = {} if known or not goes_on_inside_parts(node) else earlier.inside([at])
        if known:
            self._item(place, *known[at])
        elif begun:
            self._go_on_with_part(place, begun[at])
        return bool(known or begun)

    def _outline(self, place: NodeRef) -> "Outline":
        """The outline of a map that has begun. Raises RunLost."""
        return Outline(*self._kept(outline_id(place)))

    def _kept(self, record_id: str) -> Any:
        """A record that never changes. Raises RunLost."""
        if record_id in self._kept_now:
            return self._kept_now[record_id]
        record = self._runs.unchanging(record_id, lambda: self._app.backend.get_records([record_id])[0])
        if record is None:
            raise RunLost(f"the record {record_id} of a map is gone from the result backend")
        return record.result

    def _go_on_with_items(self, number: int, first: int) -> None:
        node, (whole, inputs) = self._node(number), self._kept_items(number)
        place = NodeRef(self._run, self._attempt, number)
        size, digest, _ = self._outline(place)
        few = node.details.get("concurrency")
        items = items_in(whole, node) if not few else Paged(partial(self._page, place), size)
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
                take = self._lane if parts[0][1] == states.SUCCESS else self._revoke_lane
                take(NodeRef(self._run, self._attempt, number, *rest))
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
        in_batch = node.details.get("batch")
        if in_batch:
            count = self._outline(NodeRef(self._run, self._attempt, number)).items
            values = [
                one
                for at, made in enumerate(values)
                for one in ([node.default] * min(in_batch, count - at * in_batch) if made == BATCH_DEFAULT else made)
            ]
        if node.depth > 1:
            values = nested(self._kept_items(number)[0], node.depth, iter(values))
        self._over(number, states.SUCCESS, values)


def _lane_step(place: NodeRef, item: int) -> list[Any]:
    return ["lane", place.node, item, place.size]
