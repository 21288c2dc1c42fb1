"""Reads the progress of a run repeatedly until the run ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from canvas.model import states
from canvas.model.record import Record
from canvas.model.workflow_run import NodeRef, outline_id, task_id_of
from canvas.workflows.progress.causes import causes
from canvas.workflows.run import Run
from canvas.workflows.status import RunStatus
from canvas.workflows.steps.earlier_attempts import Earlier

_ITEMS = 5_000
"""Items of a map whose ends are counted; of a larger map only the size is known until it has ended."""


@dataclass(frozen=True, slots=True)
class MapCounts:
    """The items of a map."""

    size: int
    done: int
    """How many have ended, with success or not."""
    failed: int
    running: int


@dataclass(slots=True)
class RunProgress:
    """A run at one moment."""

    status: RunStatus
    maps: dict[str, MapCounts]
    """By the names of the map nodes that have begun."""
    causes: dict[str, str]
    """For each node that did not run because another one failed, the name of that node."""


class ProgressWatch:
    """Looks at a run again and again. Items of maps that have ended are not read twice."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._ended: dict[str, dict[int, bool]] = {}
        """By the id of a map: its ended items, and whether each has succeeded."""
        self._outlines: dict[str, tuple[int, str]] = {}

    def look(self, running: Mapping[str, float | None]) -> RunProgress:
        """The run now. ``running``: the ids of tasks that run, and since when (unix time), as far as that is known.

        Raises RunLost.
        """
        status = self.run.status()
        for node in status.nodes:
            if node.task_id in running and node.state in (states.PENDING, states.STARTED, states.RETRY):
                since = running[node.task_id]
                node.state = states.STARTED
                if node.started is None and since is not None:
                    node.started = datetime.fromtimestamp(since, UTC)
        maps = self._maps(status, running)
        return RunProgress(status, maps, causes(self.run.nodes, {node.name: node.state for node in status.nodes}))

    def _maps(self, status: RunStatus, running: Mapping[str, float | None]) -> dict[str, MapCounts]:
        found = {}
        by_name = {node.name: node for node in status.nodes}
        for number, node in enumerate(self.run.nodes):
            known = by_name.get(node.name)
            if node.kind != "map" or known is None or known.state == "WAITING":
                continue
            place = NodeRef(self.run.id, self.run.about["attempts"][number], number)
            outline = self._outline(place)
            if outline is None:
                continue
            size, _ = outline
            ended = self._items(place, *outline)
            failed = sum(not succeeded for succeeded in ended.values())
            prefix = f"{task_id_of(place)}."
            active = sum(task_id.startswith(prefix) for task_id in running)
            done = size if known.state == states.SUCCESS else len(ended)
            found[node.name] = MapCounts(size, done, failed, active)
            if active and known.state == states.PENDING:
                known.state = states.STARTED
        return found

    def _outline(self, place: NodeRef) -> tuple[int, str] | None:
        """The number of items and their digest."""
        key = outline_id(place)
        if key not in self._outlines:
            (record,) = self.run.app.backend.get_records([key])
            if record is None:
                return None
            self._outlines[key] = int(record.result[0]), record.result[1]
        return self._outlines[key]

    def _items(self, place: NodeRef, size: int, digest: str) -> dict[int, bool]:
        if size > _ITEMS:
            return {}
        app, backend, map_id = self.run.app, self.run.app.backend, task_id_of(place)
        if map_id not in self._ended:
            kept = Earlier.of(app, app.run_store, place, size, digest).ended(range(size))
            self._ended[map_id] = {at: state == states.SUCCESS for at, (state, _) in kept.items()}
        ended = self._ended[map_id]
        open_items = [at for at in range(size) if at not in ended]
        ids = [task_id_of(place._replace(item=at, size=size)) for at in open_items]
        unclear = []
        for at, task_id, succeeded in zip(open_items, ids, backend.succeeded(ids), strict=True):
            if succeeded:
                ended[at] = True
            elif succeeded is False:
                unclear.append((at, task_id))
        records = backend.get_records([task_id for _, task_id in unclear]) if unclear else []
        for (at, _), record in zip(unclear, records, strict=True):
            if record is not None and record.status in states.READY_STATES:
                ended[at] = record.status == states.SUCCESS
        return ended

    def failed_items(self, place: NodeRef, most: int) -> list[tuple[int, str, Record]]:
        """Items of a map that have failed, with their ids and records."""
        outline = self._outline(place)
        size, ended = (None, {}) if outline is None else (outline[0], self._items(place, *outline))
        failed = [at for at in sorted(ended) if not ended[at]][:most]
        ids = [task_id_of(place._replace(item=at, size=size)) for at in failed]
        records = self.run.app.backend.get_records(ids) if ids else []
        found = zip(failed, ids, records, strict=True)
        return [(at, task_id, record) for at, task_id, record in found if record is not None]
