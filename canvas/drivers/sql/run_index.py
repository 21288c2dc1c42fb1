"""The index of workflows' runs: columns of their rows, and tables of their labels and keys."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, func, or_, select, update

from canvas.drivers.sql.canvas_tables import StateTables
from canvas.drivers.sql.dialects import read_clock, unix_time, upsert
from canvas.model import states
from canvas.model.run_index import IF_CANCELLED, FoundRun, RunListing, RunQuery
from canvas.model.settlement import ResultWrite, RunWrite


def is_kept(connection: Connection, runs: Table) -> ColumnElement[bool]:
    """The condition for a run that has not expired."""
    return or_(runs.c.expires_at.is_(None), runs.c.expires_at > unix_time(connection))


def list_run(connection: Connection, tables: StateTables, run: str, listing: RunListing, created: float | None) -> None:
    """List a run whose row is there. One that is listed keeps its state, unless the listing has another than PENDING:
    the run was carried out by the process that saves it."""
    runs = tables.runs
    new = update(runs).where(runs.c.run == run, runs.c.state.is_(None))
    if connection.execute(new.values(name=listing.name, state=listing.state, created=created)).rowcount:
        rows = [{"run": run, "label": label, "value": value} for label, value in listing.labels]
        if rows:
            connection.execute(upsert(connection, tables.run_labels, ["run", "label"], ["value"]), rows)
    elif listing.state != states.PENDING:
        write_state(connection, tables, run, listing.state)


def write_state(
    connection: Connection, tables: StateTables, run: str, state: str | None = None, before: str | None = None
) -> None:
    """List a run under another state, if it is listed under the state ``before``; without a state, under the one that
    its changed fields give it."""
    runs, fields = tables.runs, tables.run_fields
    known = connection.execute(select(runs.c.state).where(runs.c.run == run).with_for_update()).scalar()
    if known is None or before not in (None, known):
        return
    query = select(fields.c.name, fields.c.value).where(
        fields.c.run == run, fields.c.name.in_(["attempt", "cancelled"])
    )
    found = {name: value for name, value in connection.execute(query)}
    cancelled, state = found.get("cancelled"), state or known
    if cancelled and cancelled == found.get("attempt"):
        state = IF_CANCELLED.get(state, state)
    if state != known:
        connection.execute(update(runs).where(runs.c.run == run).values(state=state))


def attempts_of(connection: Connection, tables: StateTables, runs: Sequence[str]) -> dict[str, int]:
    """The latest attempt of each of these runs that is kept; no other one begins before the transaction ends."""
    fields = tables.run_fields
    query = select(fields.c.run, fields.c.value).where(fields.c.run.in_(sorted(runs)), fields.c.name == "attempt")
    return {run: int(value) for run, value in connection.execute(query.with_for_update(read=True))}


def of_earlier_attempts(
    connection: Connection, tables: StateTables, stores: Sequence[ResultWrite]
) -> Sequence[ResultWrite]:
    """The records among these that are of an attempt before the latest one of their run."""
    of_runs = [one for one in stores if one.run_state]
    if not of_runs:
        return ()
    latest = attempts_of(connection, tables, [one.task_id for one in of_runs])
    return [one for one in of_runs if latest.get(one.task_id, 0) > one.run_attempt]


def write_runs(connection: Connection, tables: StateTables, writes: Sequence[RunWrite]) -> None:
    """Keep new runs that are not listed, except for those that have begun another attempt."""
    if not writes:
        return
    runs, fields, now = tables.runs, tables.run_fields, read_clock(connection)
    query = select(fields.c.run).join(runs, runs.c.run == fields.c.run).where(
        fields.c.run.in_([write.run for write in writes]), fields.c.name == "attempt", fields.c.value != b"0",
        is_kept(connection, runs),
    )  # fmt: skip
    begun = set(connection.execute(query).scalars())
    for write in sorted(writes, key=lambda one: one.run):
        if write.run not in begun:
            row = {"run": write.run, "expires_at": now + write.expires if write.expires else None}
            connection.execute(upsert(connection, runs, ["run"], ["expires_at"]), row)
            write_fields(connection, tables, write.run, write.fields)


def write_fields(connection: Connection, tables: StateTables, run: str, fields: Mapping[str, bytes]) -> None:
    """Set fields of a run."""
    rows = [{"run": run, "name": name, "value": value} for name, value in sorted(fields.items())]
    if rows:
        connection.execute(upsert(connection, tables.run_fields, ["run", "name"], ["value"]), rows)


def claim_key(connection: Connection, tables: StateTables, listing: RunListing, run: str) -> str:
    """The run that has the key of a listing: this one, unless another one that is still kept has it."""
    keys, row = tables.run_keys, {"name": listing.name, "run_key": listing.key, "run": run}
    connection.execute(upsert(connection, keys, ["name", "run_key"], []), row)
    own = keys.c.name == listing.name, keys.c.run_key == listing.key
    owner: str = connection.execute(select(keys.c.run).where(*own).with_for_update()).scalar_one()
    if owner == run or _is_kept(connection, tables, owner):
        return owner
    connection.execute(update(keys).where(*own).values(run=run))
    return run


def run_of_key(connection: Connection, tables: StateTables, name: str, key: str) -> str | None:
    """The run that was started under this name and key, if it is still kept."""
    keys = tables.run_keys
    run = connection.execute(select(keys.c.run).where(keys.c.name == name, keys.c.run_key == key)).scalar()
    return run if run is not None and _is_kept(connection, tables, run) else None


def _is_kept(connection: Connection, tables: StateTables, run: str) -> bool:
    runs = tables.runs
    kept = select(runs.c.run).where(runs.c.run == run, is_kept(connection, runs))
    return connection.execute(kept).first() is not None


def find(connection: Connection, tables: StateTables, query: RunQuery) -> list[FoundRun]:
    """See ``RunRecords.find_runs``."""
    runs = tables.runs
    wanted = _wanted(connection, tables, query, select(runs.c.run, runs.c.state, runs.c.created))
    rows = connection.execute(wanted.order_by(runs.c.created.desc()).limit(query.limit))
    return [FoundRun(run, state, created) for run, state, created in rows]


def count(connection: Connection, tables: StateTables, query: RunQuery) -> int:
    """See ``RunRecords.count_runs``."""
    wanted = _wanted(connection, tables, query, select(func.count()).select_from(tables.runs))
    return int(connection.execute(wanted).scalar_one())


def _wanted(connection: Connection, tables: StateTables, query: RunQuery, columns: Select[Any]) -> Select[Any]:
    runs, labels = tables.runs, tables.run_labels
    wanted = columns.where(runs.c.state.in_(query.states), is_kept(connection, runs))
    if query.name is not None:
        wanted = wanted.where(runs.c.name == query.name)
    if query.since is not None:
        wanted = wanted.where(runs.c.created >= query.since)
    if query.until is not None:
        wanted = wanted.where(runs.c.created < query.until)
    for label, value in query.labels:
        labelled = select(labels.c.run).where(labels.c.label == label, labels.c.value == value)
        wanted = wanted.where(runs.c.run.in_(labelled))
    return wanted
