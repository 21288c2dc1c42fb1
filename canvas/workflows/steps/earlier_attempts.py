"""The items of a map that have succeeded in an earlier attempt of its run: another attempt takes their values."""

from collections.abc import Iterable, Sequence
from functools import partial
from hashlib import sha1
from typing import Any

from canvas.errors import EncodeError
from canvas.model import states
from canvas.model.workflow_run import NodeRef, child_run_of, task_id_of
from canvas.wire import codecs, typed_json
from canvas.workflows.run_records import items_of, outlines
from canvas.workflows.services import WorkflowServices
from canvas.workflows.store import RunStore

FRESH = "fresh"
"""The key in a run's metadata under which, by the number of a node, is the first attempt whose results may be used
again."""
NOT_UNDONE = "not_undone"
"""The key in a run's metadata under which are the attempts that had not failed when the next one began. However they
end, their nodes are not undone."""


class Earlier:
    """The attempts at one map that had the same items, the latest first."""

    def __init__(
        self, app: WorkflowServices, runs: RunStore, attempts: Sequence[NodeRef], size: int, with_default: bool
    ) -> None:
        """``with_default``: whether an item that failed has ended with the map's default."""
        self._app = app
        self._runs = runs
        self._attempts = attempts
        self._size = size
        self._final = {states.SUCCESS, states.FAILURE} if with_default else {states.SUCCESS}

    @classmethod
    def of(cls, app: WorkflowServices, runs: RunStore, place: NodeRef, size: int, digest: str) -> "Earlier":
        """The attempts before ``place`` whose items had this digest. Raises RunLost."""
        before = usable_before(runs, place)
        found = zip(before, outlines(app, runs, before), strict=True)
        with_default = runs.node(place.run, place.attempt, place.node).continue_on_failure
        return cls(app, runs, [one for one, outline in found if outline == (size, digest)], size, with_default)

    def ended(self, items: Iterable[int]) -> dict[int, tuple[str, Any]]:
        """State and value of the items among these that need not run again."""
        known: dict[int, tuple[str, Any]] = {}
        wanted = list(items)
        for place in self._attempts:
            places = list(items_of(place, self._size))
            missing = [item for item in wanted if item not in known]
            ids = [task_id_of(places[item]) for item in missing]
            records: list[Any] = self._runs.persist(partial(self._app.backend.get_records, ids))
            known |= {
                item: (record.status, record.result)
                for item, record in zip(missing, records, strict=True)
                if record is not None and record.status in self._final
            }
        return known

    def inside(self, items: Iterable[int]) -> dict[int, str]:
        """The runs of workflows that have begun in the places of these items."""
        known: dict[int, str] = {}
        wanted = list(items)
        for place in self._attempts:
            places = list(items_of(place, self._size))
            missing = [item for item in wanted if item not in known]
            runs = [child_run_of(task_id_of(places[item])) for item in missing]
            records: list[Any] = self._runs.persist(partial(self._app.backend.get_records, runs)) if runs else []
            found = zip(missing, runs, records, strict=True)
            known |= {item: run for item, run, record in found if record is not None}
        return known


def usable_before(runs: RunStore, place: NodeRef) -> list[NodeRef]:
    """The earlier attempts at a node of which anything may be used again, the latest first. Raises RunLost."""
    if place.attempt == 0:
        return []
    about, _ = runs.metadata(place.run)
    first = int(about.get(FRESH, {}).get(str(place.node), 0))
    return [place._replace(attempt=attempt) for attempt in range(place.attempt - 1, first - 1, -1)]


def digest_of(value: Any, serializer: str) -> str:
    """A digest of the signature and the values of a map's items. Raises EncodeError."""
    try:
        written = typed_json.dumps(value)
    except EncodeError:
        written = codecs.encode(value, serializer)[2]
    return sha1(written, usedforsecurity=False).hexdigest()
