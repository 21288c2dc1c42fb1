"""Runs of workflows: a row for each run, and one for each of its fields."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, or_, select, update

from canvas.drivers.sql.database import Database
from canvas.drivers.sql.dialects import read_clock, unix_time, upsert
from canvas.drivers.sql.mailboxes import SqlMailboxes
from canvas.drivers.sql.results import SqlResults
from canvas.model.settlement import ReadyChord


class SqlRuns:
    """The RunRecords of ``canvas.drivers.ports``."""

    def __init__(self, database: Database, results: SqlResults) -> None:
        self._database = database
        self._results = results
        self._tables = database.tables.state
        self._mailboxes = SqlMailboxes(self._tables)

    def save_run(self, run: str, fields: Mapping[str, bytes], expires: int | None, created: float | None) -> None:
        def work(connection: Connection) -> None:
            row = {"run": run, "created": created, "expires_at": None}
            changed = ["created"] if created is not None else []
            if expires:
                row["expires_at"] = read_clock(connection) + expires
                changed.append("expires_at")
            connection.execute(upsert(connection, self._tables.runs, ["run"], changed), row)
            self._write(connection, run, fields)

        self._database.call(work)

    def _write(self, connection: Connection, run: str, fields: Mapping[str, bytes]) -> None:
        rows = [{"run": run, "name": name, "value": value} for name, value in sorted(fields.items())]
        if rows:
            connection.execute(upsert(connection, self._tables.run_fields, ["run", "name"], ["value"]), rows)

    def _alive(self, connection: Connection) -> Any:
        runs = self._tables.runs
        return or_(runs.c.expires_at.is_(None), runs.c.expires_at > unix_time(connection))

    def read_run(self, run: str, names: Sequence[str]) -> list[bytes | None]:
        if not names:
            return []
        fields, runs = self._tables.run_fields, self._tables.runs

        def work(connection: Connection) -> dict[str, bytes]:
            query = select(fields.c.name, fields.c.value).join(runs, runs.c.run == fields.c.run)
            query = query.where(fields.c.run == run, fields.c.name.in_(names), self._alive(connection))
            return {name: value for name, value in connection.execute(query)}

        found = self._database.call(work)
        return [found.get(name) for name in names]

    def begin_attempt(
        self, run: str, attempt: int, fields: Mapping[str, bytes], expires: int | None, start: ReadyChord | None
    ) -> bool:
        kept = self._tables.run_fields
        begins = update(kept).where(kept.c.run == run, kept.c.name == "attempt", kept.c.value == str(attempt).encode())

        def work(connection: Connection) -> bool:
            if not connection.execute(begins.values(value=str(attempt + 1).encode())).rowcount:
                return False
            self._write(connection, run, fields)
            now = read_clock(connection)
            if expires:
                runs = self._tables.runs
                connection.execute(update(runs).where(runs.c.run == run).values(expires_at=now + expires))
            if start is not None:
                row = {"group_id": start.group_id, "state": "ready", "extra": 0, "counted": 0, "lost": False}
                row |= {"callback": start.callback, "ready_since": now}
                changed = [name for name in row if name != "group_id"]
                connection.execute(upsert(connection, self._tables.chords, ["group_id"], changed), row)
            return True

        return self._database.call(work)

    def expire_run(self, run: str, seconds: int, task_ids: Sequence[str], record_seconds: int) -> None:
        runs = self._tables.runs

        def work(connection: Connection) -> None:
            until = read_clock(connection) + seconds if seconds else None
            connection.execute(update(runs).where(runs.c.run == run).values(expires_at=until))
            self._results.set_lifetimes(connection, task_ids, record_seconds)

        self._database.call(work)

    def read_mail(self, run: str) -> dict[str, list[bytes]]:
        return self._database.call(lambda connection: self._mailboxes.values(connection, run))

    def list_runs(self, limit: int) -> list[str]:
        runs = self._tables.runs

        def work(connection: Connection) -> list[str]:
            query = select(runs.c.run).where(runs.c.created.is_not(None), self._alive(connection))
            return list(connection.execute(query.order_by(runs.c.created.desc()).limit(limit)).scalars())

        return self._database.call(work)
