"""The tables of the state of messages that another broker carries."""

from hashlib import sha256
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)  # fmt: skip

from canvas.drivers.sql.canvas_tables import BYTES, OF_MYSQL, key, layout_table, moment

_LONGEST_KEY = 255
_NAME = 255


def key_of(text: str) -> str:
    """A user's text as a key: itself, or its digest where databases do not take it as a key."""
    if len(text) <= _LONGEST_KEY and "\0" not in text and text.isprintable():
        return text
    return f"sha256:{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


class MessageTables:
    """Leases, outboxes, and the state that workers share. Times are unix times, in seconds."""

    def __init__(self, metadata: MetaData, schema: str | None) -> None:
        def table(name: str, *columns: Column[Any] | Index) -> Table:
            return Table(f"canvas_{name}", metadata, *columns, schema=schema, **OF_MYSQL)

        self.leases = table("leases", *_lease())
        self.messages = table("messages", *_message())
        self.outbox = table("outbox", _number(), _text("worker"), _bytes("payload"), _by("outbox", "worker", "id"))
        self.workers = table("workers", key("worker"), moment("expires_at"), moment("silent_since"))
        self.delay_queues = table("delay_queues", key("name"), moment("expires_at"))
        self.guards = table("guards", key("guard"), moment("expires_at"))
        self.dead_letters = table("dead_letters", *_dead_letter())
        self.counters = table("counters", key("name"), Column("value", BigInteger, nullable=False))
        self.revoked = table("revocations", key("entry_key"), _bytes("entry"), moment("expires_at"))
        self.rate_limits = table("rate_limits", key("rate_key"), moment("next_turn"))
        # The database's name stays: workers of two versions use the tables at the same time, so columns are only added.
        limit = Column("places", Integer, key="permits", nullable=False)
        self.limits = table("concurrency_limits", key("permit_key"), limit)
        self.permits = table("permits", key("permit_key"), key("tag"))
        self.blocked = table(
            "blocked_messages", _number(), _text("permit_key"), _bytes("payload"), _by("blocked", "permit_key", "id")
        )
        self.locks = table("unique_locks", key("lock_key"), _text("owner"), _text("token"), moment("expires_at"))
        self.schedules = table("schedule_entries", *_schedule_entry())
        self.expiring = (self.messages, self.delay_queues, self.guards, self.revoked, self.locks)
        """The tables whose rows go at the time in ``expires_at``."""


class StateDatabase:
    """The tables of a database that has the state of messages and no results."""

    cure = "`canvas db upgrade` makes missing tables"

    def __init__(self) -> None:
        self.metadata = MetaData()
        self.layout = layout_table(self.metadata, None)


def _number() -> Column[int]:
    """A number that grows with each row."""
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)


def _text(name: str) -> Column[str]:
    return Column(name, String(_NAME), nullable=False)


def _bytes(name: str) -> Column[bytes]:
    return Column(name, BYTES, nullable=False)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def _by(table: str, *columns: str) -> Index:
    return Index(f"canvas_{table}_by_{columns[0]}", *columns)


def _lease() -> list[Column[Any] | Index]:
    """``early_acked``: the broker does not have the message any more, and its task runs or is an orphan. ``detached``:
    the broker does not have it any more, and its task runs. ``orphaned_at``: when others may settle it. ``reason``: why
    its process was killed."""
    return [
        key("tag"), _text("worker"), _text("message_id"), _text("queue"), _bytes("payload"),
        Column("leased_at", Double, nullable=False), _flag("early_acked"), _flag("detached"),
        _flag("started"), Column("reason", Text, nullable=False), moment("orphaned_at"), _by("leases", "worker"),
    ]  # fmt: skip


def _message() -> list[Column[Any]]:
    """The latest lease of a message. Without a ``tag`` the worker that held it has died; ``started`` and ``deliveries``
    are then those of its lease."""
    return [
        key("message_id"), Column("tag", String(_NAME)), _flag("started"),
        Column("deliveries", Integer, nullable=False), moment("expires_at"),
    ]  # fmt: skip


def _dead_letter() -> list[Column[Any] | Index]:
    return [
        _number(), _text("queue"), _bytes("payload"), Column("reason", LargeBinary, nullable=False),
        moment("died_at", index=False), _by("dead_letters", "queue", "id"),
    ]  # fmt: skip


def _schedule_entry() -> list[Column[Any]]:
    return [
        key("schedule"), key("entry_key"), _bytes("name"), Column("revision", BigInteger, nullable=False),
        _text("token"), moment("due"), _bytes("state"), _bytes("definition"),
    ]  # fmt: skip
