"""``app.runs``: find the runs of an app by name, state, label and time of creation."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, NamedTuple

from canvas.caller_warnings import ends_in_caller
from canvas.errors import CompositionError, RunLost
from canvas.model import states
from canvas.model.record import Record
from canvas.model.run_index import CANCELLED, OF_CELERY, RUN_STATES, FoundRun, RunQuery, in_celery_form
from canvas.wire.moments import aware
from canvas.workflows.compose.other_names import refuse_other_names
from canvas.workflows.labels import checked_name, label_terms
from canvas.workflows.run import Run
from canvas.workflows.services import WorkflowServices
from canvas.workflows.status import run_state

_PASSES = 3
"""How often a query reads the index, at most: it reads it again after it has corrected outdated entries."""
_RUNS_OF_CELERY = 1_000
"""Runs of Celery workers whose state a query determines, at most."""
_OVER = frozenset({states.FAILURE, CANCELLED, states.SUCCESS})


class _Live(NamedTuple):
    """A run of Celery workers that has not ended."""

    found: FoundRun
    run: Run
    state: str


@ends_in_caller("__call__", "count", "afind", "acount", "of_key", "aof_key", known_as="app.runs")
class Runs:
    """The runs of an app. Searches take the same arguments, and find the runs that match all of them.

    ``name``: of the workflow. ``state``: one of PENDING, STARTED, CANCELLING, FAILURE, CANCELLED and SUCCESS, or
    several. ``label``: a mapping of labels to their values, which are compared as text. ``since``, ``until``: created
    then or later, and before then; a datetime (without a zone: in the app's), or a timedelta or seconds before now.

    Raises CompositionError for a value of another kind, ConfigurationError without a result backend, OperationalError.
    """

    def __init__(self, app: WorkflowServices) -> None:
        self._app = app

    @refuse_other_names("runs")
    def __call__(
        self,
        *,
        name: str | None = None,
        state: str | Iterable[str] | None = None,
        label: Mapping[str, Any] | None = None,
        since: datetime | timedelta | float | None = None,
        until: datetime | timedelta | float | None = None,
        limit: int = 100,
    ) -> list[Run]:
        """Runs, the latest first, ``limit`` of them at most."""
        query = self._query(name, state, label, since, until, limit)
        live: list[_Live] = []
        if state is not None:
            live = self._of_celery(query)
            query = query._replace(states=tuple(one for one in query.states if one != OF_CELERY))
        entries = {one.found: one.run for one in live} | self._verified(query)
        latest = sorted(entries, key=lambda found: found.created, reverse=True)
        return [entries[found] for found in latest[:limit]]

    @refuse_other_names("runs")
    def count(
        self,
        *,
        name: str | None = None,
        state: str | Iterable[str] | None = None,
        label: Mapping[str, Any] | None = None,
        since: datetime | timedelta | float | None = None,
        until: datetime | timedelta | float | None = None,
    ) -> int:
        """The number of runs with this ``name``, ``state`` and ``label``, created between ``since`` and ``until``."""
        query = self._query(name, state, label, since, until, 1)
        if state is None:
            return self._app.run_store.count(query)
        live = self._of_celery(query)
        return len(live) + self._app.run_store.count(query._replace(states=query.states[:-1]))

    async def afind(self, **query: Any) -> list[Run]:
        """The runs that a call gives, without blocking the event loop."""
        return await asyncio.to_thread(lambda: self(**query))

    async def acount(self, **query: Any) -> int:
        """``count``, without blocking the event loop."""
        return await asyncio.to_thread(lambda: self.count(**query))

    def of_key(self, name: str, run_key: str) -> Run | None:
        """The run of the workflow ``name`` that was started with ``run_key``; ``None`` if no such run is kept."""
        run = self._app.run_store.run_of_key(name, run_key)
        return None if run is None else self._kept(run)

    async def aof_key(self, name: str, run_key: str) -> Run | None:
        """``of_key``, without blocking the event loop."""
        return await asyncio.to_thread(self.of_key, name, run_key)

    def _kept(self, run: str) -> Run | None:
        try:
            return Run.find(self._app, run)
        except RunLost:
            return None

    def _all_kept(self, found: Sequence[FoundRun]) -> dict[str, Run]:
        """The runs among ``found`` that are still kept, by their ids."""
        store, kept = self._app.run_store, {}
        runs = [one.run for one in found]
        for run, fields in zip(runs, store.definitions(runs) if runs else [], strict=True):
            with suppress(RunLost):
                kept[run] = Run(self._app, run, *store.definition(run, fields))
        return kept

    def _verified(self, query: RunQuery) -> dict[FoundRun, Run]:
        """The runs that a query finds, if they are in the states that they are listed under; wrong entries are
        corrected."""
        true: dict[FoundRun, Run] = {}
        for _ in range(_PASSES):
            found = self._app.run_store.find(query)
            records = self._app.backend.get_records([one.run for one in found]) if found else []
            runs = self._all_kept(found)
            kept = [(one, runs.get(one.run), record) for one, record in zip(found, records, strict=True)]
            true, wrong = {}, False
            for one, run, record in kept:
                if run is None:
                    continue
                state = one.state if one.state == OF_CELERY else _state(run, record)
                if state == one.state:
                    true[one] = run
                else:
                    self._app.run_store.list_as(one.run, state, one.state)
                    wrong = True
            if not wrong:
                break
        return true

    def _of_celery(self, query: RunQuery) -> list[_Live]:
        """The runs of Celery workers that a query asks for and that have not ended.

        Such a run is listed under its state when a query finds that it has ended: its workers do not know the index.
        """
        live: list[_Live] = []
        listed = self._app.run_store.find(query._replace(states=(OF_CELERY,), limit=_RUNS_OF_CELERY))
        runs = self._all_kept(listed)
        for found in listed:
            run = runs.get(found.run)
            if run is None:
                continue
            state = run.status().state
            if state in _OVER:
                self._app.run_store.list_as(found.run, state, OF_CELERY)
            elif state in query.states:
                live.append(_Live(found, run, state))
        return live

    def _query(self, name: Any, state: Any, label: Any, since: Any, until: Any, limit: Any) -> RunQuery:
        if name is not None and not isinstance(name, str):
            raise CompositionError(f"app.runs: name: expected the name of a workflow; got {name!r:.100}")
        if type(limit) is not int or limit < 1:
            raise CompositionError(f"app.runs: limit: expected a whole number above 0; got {limit!r:.100}")
        if label is not None and not isinstance(label, Mapping):
            raise CompositionError(f"app.runs: label: expected a mapping of labels to values; got {label!r:.100}")
        labels = label_terms({checked_name(one): value for one, value in (label or {}).items()})
        moments = self._moment("since", since), self._moment("until", until)
        return RunQuery(name, (*_states(state), OF_CELERY), labels, *moments, limit)

    def _moment(self, which: str, given: Any) -> float | None:
        now = self._app.now()
        match given:
            case None:
                return None
            case datetime():
                return aware(given, now.tzinfo or UTC).timestamp()
            case timedelta():
                return (now - given).timestamp()
            case int() | float() if not isinstance(given, bool):
                return now.timestamp() - given
        raise CompositionError(
            f"app.runs: {which}: expected a datetime, a timedelta or seconds before now; got {given!r:.100}"
        )


def _state(run: Run, record: Record | None) -> str:
    if in_celery_form(run.about):
        return run.status().state
    own = record if record is None or record.extra.get("attempt", run.attempt) == run.attempt else None
    return run_state(run.about, own)


def _states(given: Any) -> Sequence[str]:
    if given is None:
        return RUN_STATES
    wanted = [given] if isinstance(given, str) else list(given)
    for state in wanted:
        if state not in RUN_STATES:
            near = get_close_matches(str(state).upper(), RUN_STATES, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise CompositionError(
                f"app.runs: state: expected one of {', '.join(RUN_STATES)}; got {state!r:.100}{hint}"
            )
    return tuple(dict.fromkeys(wanted))
