"""Mailboxes of workflow runs: a row for each value and each wait, which stays as long as the run is kept."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select, update

from canvas.drivers.sql.canvas_tables import StateTables
from canvas.drivers.sql.dialects import read_clock, unix_time
from canvas.model.settlement import MailboxStep, Part

_VALUE, _WAIT, _KNOWN = "value", "wait", "known"
"""Kinds of rows: a value that no node has taken, a wait without a value, an id that has had its effect. A known wait
with a value has not begun yet."""


class SqlMailboxes:
    """The steps of mailboxes, in a transaction of the caller's."""

    def __init__(self, tables: StateTables) -> None:
        self._runs = tables.runs
        self._mail = tables.mail

    def apply(self, connection: Connection, steps: Sequence[MailboxStep]) -> list[Part]:
        """Take the steps in their order. Returns the parts with which the chords of waits become ready."""
        if not steps:
            return []
        lasting = {step.run: 0 for step in steps}
        for step in steps:
            lasting[step.run] = max(lasting[step.run], step.lasting)
        now = read_clock(connection)
        kept = {run for run, seconds in sorted(lasting.items()) if self._lock(connection, run, now, seconds)}
        act = {"post": self._post, "offer": self._post, "take": self._take, "resolve": self._resolve}
        found = [act[step.kind](connection, step) for step in steps if step.run in kept]
        return [part for part in found if part is not None]

    def _lock(self, connection: Connection, run: str, now: float, lasting: int) -> bool:
        """Lock a run's row, and keep it for ``lasting`` seconds at least; False when it is not kept."""
        runs = self._runs
        # The first statement writes, so that SQLite locks the database before it is read.
        locked = update(runs).where(runs.c.run == run, (runs.c.expires_at.is_(None)) | (runs.c.expires_at > now))
        if not connection.execute(locked.values(run=runs.c.run)).rowcount:
            return False
        if lasting:
            sooner = update(runs).where(runs.c.run == run, runs.c.expires_at < now + lasting)
            connection.execute(sooner.values(expires_at=now + lasting))
        return True

    def _post(self, connection: Connection, step: MailboxStep) -> Part | None:
        if self._row(connection, step) is not None:
            return None
        wait = self._first(connection, step, _WAIT)
        if wait is None:
            if step.kind == "post":
                self._insert(connection, step, _VALUE, value=step.value)
            return None
        self._insert(connection, step, _KNOWN)
        return self._end(connection, step, wait, step.value)

    def _take(self, connection: Connection, step: MailboxStep) -> Part | None:
        row = self._row(connection, step)
        asked = {"group_id": step.group_id, "callback": step.callback, "lives": step.expires, "id": step.id}
        if row is not None:
            early = row["value"] if row["kind"] == _KNOWN else None
            return self._end(connection, step, asked, early) if early is not None else None
        value = self._first(connection, step, _VALUE)
        if value is None:
            self._insert(connection, step, _WAIT, group_id=step.group_id, callback=step.callback, lives=step.expires)
            return None
        self._know(connection, step, value["id"])
        self._insert(connection, step, _KNOWN)
        return self._end(connection, step, asked, value["value"])

    def _resolve(self, connection: Connection, step: MailboxStep) -> Part | None:
        row = self._row(connection, step)
        if row is None:
            self._insert(connection, step, _KNOWN, value=step.value)
            return None
        return self._end(connection, step, row, step.value) if row["kind"] == _WAIT else None

    def _end(
        self, connection: Connection, step: MailboxStep, wait: Mapping[str, Any], value: bytes | None
    ) -> Part | None:
        """Give a wait its value, or end it without one."""
        self._know(connection, step, wait["id"])
        if value is None:
            return None
        return Part(wait["group_id"], wait["id"], 0, value, wait["callback"], wait["lives"], 1)

    def _row(self, connection: Connection, step: MailboxStep) -> Mapping[str, Any] | None:
        query = select(self._mail).where(*self._here(step), self._mail.c.id == step.id)
        found = connection.execute(query).mappings().first()
        return None if found is None else dict(found)

    def _first(self, connection: Connection, step: MailboxStep, kind: str) -> Mapping[str, Any] | None:
        query = select(self._mail).where(*self._here(step), self._mail.c.kind == kind)
        found = connection.execute(query.order_by(self._mail.c.number).limit(1)).mappings().first()
        return None if found is None else dict(found)

    def _insert(self, connection: Connection, step: MailboxStep, kind: str, **values: Any) -> None:
        last = connection.execute(select(func.max(self._mail.c.number)).where(*self._here(step))).scalar()
        row = {"run": step.run, "mailbox": step.mailbox, "id": step.id, "kind": kind, "number": (last or 0) + 1}
        connection.execute(self._mail.insert(), {**row, **values})

    def _know(self, connection: Connection, step: MailboxStep, id: str) -> None:
        row = update(self._mail).where(*self._here(step), self._mail.c.id == id)
        connection.execute(row.values(kind=_KNOWN, value=None, callback=None))

    def _here(self, step: MailboxStep) -> tuple[Any, ...]:
        return self._mail.c.run == step.run, self._mail.c.mailbox == step.mailbox

    def took(self, connection: Connection, run: str, mailbox: str, id: str) -> bool:
        """Whether a value with this id was brought to a mailbox."""
        mail = self._mail
        query = select(mail.c.id).where(mail.c.run == run, mail.c.mailbox == mailbox, mail.c.id == id)
        return connection.execute(query).first() is not None

    def waiting(self, connection: Connection, seconds: float, after: str, limit: int) -> list[str]:
        """The runs, in the order of their ids, that wait in a mailbox and expire within ``seconds``."""
        mail, runs, now = self._mail, self._runs, read_clock(connection)
        query = select(runs.c.run).where(runs.c.run > after, runs.c.expires_at > now, runs.c.expires_at < now + seconds)
        waits = select(mail.c.run).where(mail.c.run == runs.c.run, mail.c.kind == _WAIT).exists()
        return list(connection.execute(query.where(waits).order_by(runs.c.run).limit(limit)).scalars())

    def values(self, connection: Connection, run: str) -> dict[str, list[bytes]]:
        """The values that no node has taken, by mailbox."""
        mail, runs = self._mail, self._runs
        query = select(mail.c.mailbox, mail.c.value).join(runs, runs.c.run == mail.c.run)
        query = query.where(mail.c.run == run, mail.c.kind == _VALUE)
        query = query.where((runs.c.expires_at.is_(None)) | (runs.c.expires_at > unix_time(connection)))
        found: dict[str, list[bytes]] = {}
        for mailbox, value in connection.execute(query.order_by(mail.c.number)):
            found.setdefault(mailbox, []).append(value)
        return found
