"""Runs that have ended expire, with their records and the runs inside of them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from canvas.errors import BrokerError, RunLost
from canvas.model import states
from canvas.model.record import Record
from canvas.model.run_index import CANCELLED
from canvas.model.workflow_run import NodeRef, child_run_of
from canvas.telemetry import emit
from canvas.workflows.run_records import (
    RECORDS_AT_ONCE,
    goes_on,
    is_end,
    kept_ids,
    outlive,
    runs_in_places,
    whole_run,
)
from canvas.workflows.services import WorkflowServices
from canvas.workflows.store import RunStore

_TOGETHER = 100
"""Runs that are read at once."""


class _Ended(NamedTuple):
    """A run that has ended."""

    run: str
    attempt: int
    end: Record
    """The record with which the attempt ended."""
    about: dict[str, Any]
    ids: list[str]
    """The ids of its records."""


def retire(app: WorkflowServices, runs: RunStore) -> int:
    """Let the runs that have ended in this process expire, each with its records; returns their number.

    If a worker dies first, its last runs are kept for as long as runs that have not ended. Raises BrokerError.
    """
    over, count = runs.over(), 0
    while page := list(islice(over, _TOGETHER)):
        left = dict.fromkeys(page)
        try:
            count += _retire(app, runs, left)
        except BrokerError:
            for run, attempt, looks in left:
                runs.ended(run, attempt, looks)
            raise
    return count


def _retire(app: WorkflowServices, runs: RunStore, left: dict[tuple[str, int, int], None]) -> int:
    """``retire`` for runs that are read together. Removes each from ``left`` once nothing is to be done about it."""
    ends: list[tuple[tuple[str, int, int], Record]] = []
    records = runs.persist(lambda: app.backend.get_records([run for run, _, _ in left]))
    for one, record in zip(list(left), records, strict=True):
        run, attempt, looks = one
        if record is not None and is_end(record, attempt):
            ends.append((one, record))
        else:
            runs.ended(run, attempt, looks - 1)
            del left[one]
    count, together, size = 0, dict[tuple[str, int, int], _Ended](), 0
    for (one, end), fields in zip(ends, runs.definitions([one[0] for one, _ in ends]), strict=True):
        ended = None
        with suppress(RunLost):
            ended = _ended(app, runs, one[0], one[1], end, fields)
        if ended is None:
            del left[one]
            continue
        together[one], size = ended, size + len(ended.ids)
        if size >= RECORDS_AT_ONCE:
            count += _expire(app, runs, together, left)
            together, size = {}, 0
    return count + _expire(app, runs, together, left)


def _ended(
    app: WorkflowServices, runs: RunStore, run: str, attempt: int, end: Record, fields: Sequence[bytes | None]
) -> _Ended | None:
    """A run that has ended, by its ``fields``; without ids of records if they are kept, because a run around it goes on
    and may need it: for a compensation, or another attempt. ``None`` for one that was resumed. Raises RunLost."""
    about, latest = runs.metadata(run, fields)
    if latest != attempt:
        return None
    kept = goes_on(app, runs, NodeRef.of(about.get("place")))
    return _Ended(run, attempt, end, about, [] if kept else kept_ids(app, runs, run, attempt, about, fields))


def _expire(
    app: WorkflowServices, runs: RunStore, together: Mapping[tuple[str, int, int], _Ended],
    left: dict[tuple[str, int, int], None],
) -> int:  # fmt: skip
    """Let runs expire with their records and the runs inside of them, unless they are resumed meanwhile. Returns the
    number of those that were not resumed; removes all from ``left``."""
    inside = dict(runs_in_places(app, runs, [task_id for ended in together.values() for task_id in ended.ids]))
    for one, (run, attempt, end, about, ids) in together.items():
        _expire_with(runs, run, ids, (run, attempt))
        for child in filter(inside.__contains__, map(child_run_of, ids)):
            if inside[child].status in states.READY_STATES:
                _expire_inside(app, runs, child, (run, attempt))
        emit(
            "run.ended", run=run, name=about["name"], state=CANCELLED if about["cancelled"] else end.status,
            created=about["created"], ended=end.date_done, cause=end.result,
        )  # fmt: skip
        del left[one]
    expired = [ended for ended in together.values() if ended.ids]
    count = len(together)
    for ended, (latest,) in zip(expired, runs.definitions([one.run for one in expired], ["attempt"]), strict=True):
        if latest is None or int(latest) != ended.attempt:
            count -= 1
            with suppress(RunLost):
                outlive(app, runs, ended.run)  # it was resumed meanwhile
    return count


def _expire_inside(app: WorkflowServices, runs: RunStore, run: str, latest: tuple[str, int]) -> None:
    with suppress(RunLost):
        for one, ids in whole_run(app, runs, run, ended=True):
            _expire_with(runs, one, ids, latest)


def _expire_with(runs: RunStore, run: str, ids: Sequence[str], latest: tuple[str, int]) -> None:
    """Let a run expire with these records; without any it is kept. ``latest``: the run around, or this one, and the
    attempt that has ended: this process may stand still here until another attempt has begun."""
    for first in range(0, len(ids), RECORDS_AT_ONCE):
        runs.expire(run, ids[first : first + RECORDS_AT_ONCE], latest)
