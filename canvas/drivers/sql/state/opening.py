"""Puts the parts of a state in SQL together."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from canvas.drivers.ports import StoreParts
from canvas.drivers.ports.message_state import StateParts
from canvas.drivers.ports.schedules import ScheduleStore
from canvas.drivers.ports.settler import Settler
from canvas.drivers.sql.chords import SqlChords
from canvas.drivers.sql.database import Database, sqlalchemy_url
from canvas.drivers.sql.results import SqlResults
from canvas.drivers.sql.state.coordination import SqlCoordination
from canvas.drivers.sql.state.dead_letters import SqlDeadLetters
from canvas.drivers.sql.state.leases import SqlLeases
from canvas.drivers.sql.state.messages import SqlMessages
from canvas.drivers.sql.state.outboxes import SqlOutboxes
from canvas.drivers.sql.state.recovery import SqlRecovery
from canvas.drivers.sql.state.schedules import SqlSchedules
from canvas.drivers.sql.state.settlers import SqlMessageHalf, SqlSettler
from canvas.drivers.sql.state.tables import MessageTables, StateDatabase
from canvas.drivers.two_step import TwoStepSettler
from canvas.drivers.two_step_schedules import TwoStepSchedules
from canvas.model.settlement import ReadyChord, Settlement

_DJANGO = "django-db"


def opened(url: str, options: Mapping[str, Any], store: StoreParts | None) -> StateParts:
    """See ``canvas.drivers.sql.open_state``."""
    results = store.results if store is not None else None
    database, shared = _database(url, options, results)
    layout = database.tables.layout
    tables = MessageTables(database.tables.metadata, layout.schema)
    leases, outboxes = SqlLeases(tables), SqlOutboxes(tables)
    messages = SqlMessages(database, tables, leases, outboxes)
    coordination = SqlCoordination(database, tables, leases, outboxes)
    recovery = SqlRecovery(database, tables, leases, outboxes)
    letters = SqlDeadLetters(database, tables, outboxes)
    half = SqlMessageHalf(database, tables, leases, outboxes, coordination, letters)
    settler: Settler
    schedules: ScheduleStore
    if shared and store is not None and isinstance(store.chords, SqlChords):
        settler = one = SqlSettler(database, half, store.chords)
        schedules = SqlSchedules(database, tables, lambda connection, settlement: one.commit(connection, [settlement]))
    else:
        settler = TwoStepSettler(half, results, store.chords if store is not None else None)

        def commit(connection: Connection, settlement: Settlement) -> list[ReadyChord]:
            half.commit(connection, [settlement])
            return []

        schedules = SqlSchedules(database, tables, commit)
        if store is not None:
            schedules = TwoStepSchedules(schedules, store)
    return StateParts(
        messages, database.check, database.close, letters, coordination, recovery, schedules, settler,
        recovery.connect, None if shared else database,
    )  # fmt: skip


def _database(url: str, options: Mapping[str, Any], results: Any) -> tuple[Database, bool]:
    """The database of the state, and whether it is that of the results."""
    if url == _DJANGO:
        from canvas.drivers.sql.django.tables import django_database

        address, connect_args, _ = django_database()
        options = {**options, "database_engine_options": {"connect_args": connect_args}}
    else:
        address = sqlalchemy_url(url)
    if isinstance(results, SqlResults) and results.database.url == address:
        return results.database, True
    return Database(address, StateDatabase(), options), False
