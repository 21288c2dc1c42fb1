"""Runs of workflows: a row for each run, by which it is found, and one for each of its fields."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select, update

from canvas.drivers.ports.runs import NewAttempt
from canvas.drivers.sql.chord_rows import READY
from canvas.drivers.sql.dialects import read_clock, upsert
from canvas.drivers.sql.mailboxes import SqlMailboxes
from canvas.drivers.sql.results import SqlResults
from canvas.drivers.sql.run_index import (
    attempts_of,
    claim_key,
    count,
    find,
    is_kept,
    list_run,
    run_of_key,
    write_fields,
    write_state,
)
from canvas.model.run_index import FoundRun, RunListing, RunQuery
from canvas.model.settlement import ReadyChord

_PAGE = 500
"""Runs that one query looks for, at most."""


class SqlRuns:
    """The RunRecords of ``canvas.drivers.ports``."""

    def __init__(self, results: SqlResults) -> None:
        self._database = results.database
        self._results = results
        self._tables = results.tables.state
        self._mailboxes = SqlMailboxes(self._tables)

    def save_run(
        self,
        run: str,
        fields: Mapping[str, bytes],
        expires: int | None,
        created: float | None,
        listing: RunListing | None = None,
        start: ReadyChord | None = None,
    ) -> str:
        listed = listing is not None and created is not None

        def work(connection: Connection) -> str:
            now = read_clock(connection)
            if listing is not None and listing.key:
                owner = claim_key(connection, self._tables, listing, run)
                if owner != run:
                    return owner
            if start is not None and self._has_fields(connection, run):
                return run  # a repeated call: the chord of its start may have been dispatched already
            row = {"run": run, "created": created, "expires_at": now + expires if expires else None}
            changed = ["expires_at"] if expires else []
            connection.execute(upsert(connection, self._tables.runs, ["run"], changed), row)
            write_fields(connection, self._tables, run, fields)
            if listing is not None and listed:
                list_run(connection, self._tables, run, listing, created)
            else:
                write_state(connection, self._tables, run)
            self._make_ready(connection, start, now)
            return run

        return self._database.call(work)

    def _has_fields(self, connection: Connection, run: str) -> bool:
        fields = self._tables.run_fields
        return connection.execute(select(fields.c.run).where(fields.c.run == run).limit(1)).first() is not None

    def _make_ready(self, connection: Connection, start: ReadyChord | None, now: float) -> None:
        if start is None:
            return
        row = {"group_id": start.group_id, "state": READY, "extra": 0, "counted": 0, "lost": False}
        row |= {"callback": start.callback, "ready_since": now}
        changed = [name for name in row if name != "group_id"]
        connection.execute(upsert(connection, self._tables.chords, ["group_id"], changed), row)

    def read_run(self, run: str, names: Sequence[str]) -> list[bytes | None]:
        return self.read_runs([run], names)[0]

    def read_runs(self, runs: Sequence[str], names: Sequence[str]) -> list[list[bytes | None]]:
        fields, kept = self._tables.run_fields, self._tables.runs

        def work(connection: Connection) -> dict[tuple[str, str], bytes]:
            query = select(fields.c.run, fields.c.name, fields.c.value).join(kept, kept.c.run == fields.c.run)
            query = query.where(fields.c.run.in_(runs), fields.c.name.in_(names), is_kept(connection, kept))
            return {(run, name): value for run, name, value in connection.execute(query)}

        found = self._database.call(work) if runs and names else {}
        return [[found.get((run, name)) for name in names] for run in runs]

    def begin_attempt(self, run: str, new: NewAttempt) -> bool:
        kept, runs = self._tables.run_fields, self._tables.runs
        is_before = kept.c.name == "attempt", kept.c.value == str(new.before).encode()
        begins = update(kept).where(kept.c.run == run, *is_before)

        def work(connection: Connection) -> bool:
            if not connection.execute(begins.values(value=str(new.before + 1).encode())).rowcount:
                mine = select(kept.c.value).where(kept.c.run == run, kept.c.name == "begun_by")
                return bool(new.call) and connection.execute(mine).scalar() == new.call.encode()
            unless = select(kept.c.value).where(kept.c.run == run, kept.c.name == new.unless)
            if new.unless and connection.execute(unless).scalar() == str(new.before).encode():
                whole = update(kept).where(kept.c.run == run, kept.c.name == "attempt")
                connection.execute(whole.values(value=str(new.before).encode()))
                return False
            write_fields(connection, self._tables, run, {**new.fields, "begun_by": new.call.encode()})
            self._results.delete(connection, [run])
            write_state(connection, self._tables, run, new.state)
            now = read_clock(connection)
            if new.expires:
                connection.execute(update(runs).where(runs.c.run == run).values(expires_at=now + new.expires))
            self._make_ready(connection, new.start, now)
            return True

        return self._database.call(work)

    def mark_attempt(self, run: str, attempt: int, fields: Mapping[str, bytes]) -> bool:
        def work(connection: Connection) -> bool:
            if attempts_of(connection, self._tables, [run]).get(run) != attempt:
                return False
            write_fields(connection, self._tables, run, fields)
            write_state(connection, self._tables, run)
            return True

        return self._database.change(work)

    def expire_run(
        self, run: str, seconds: int, task_ids: Sequence[str], record_seconds: int,
        latest: tuple[str, int] | None = None,
    ) -> None:  # fmt: skip
        runs = self._tables.runs

        def work(connection: Connection) -> None:
            if latest is not None and attempts_of(connection, self._tables, [latest[0]]).get(latest[0]) != latest[1]:
                return
            until = read_clock(connection) + seconds if seconds else None
            connection.execute(update(runs).where(runs.c.run == run).values(expires_at=until))
            self._results.set_lifetimes(connection, task_ids, record_seconds)

        self._database.change(work)

    def read_mail(self, run: str) -> dict[str, list[bytes]]:
        return self._database.call(lambda connection: self._mailboxes.values(connection, run))

    def took_mail(self, run: str, mailbox: str, id: str) -> bool:
        return self._database.call(lambda connection: self._mailboxes.took(connection, run, mailbox, id))

    def find_runs(self, query: RunQuery) -> list[FoundRun]:
        return self._database.call(lambda connection: find(connection, self._tables, query))

    def count_runs(self, query: RunQuery) -> int:
        return self._database.call(lambda connection: count(connection, self._tables, query))

    def run_of_key(self, name: str, key: str) -> str | None:
        return self._database.call(lambda connection: run_of_key(connection, self._tables, name, key))

    def waiting_runs(self, seconds: float, cursor: str = "") -> tuple[list[str], str]:
        found = self._database.call(lambda connection: self._mailboxes.waiting(connection, seconds, cursor, _PAGE))
        return found, found[-1] if len(found) == _PAGE else ""

    def list_run_as(self, run: str, state: str, before: str) -> None:
        self._database.call(lambda connection: write_state(connection, self._tables, run, state, before))
