"""Records of an app's tasks, decoded: between result handles and the driver's bytes."""

import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from functools import cached_property
from operator import eq
from typing import TYPE_CHECKING, Any

from canvas.caller_warnings import ends_in_caller
from canvas.config.config import Config
from canvas.config.lifetimes import alive_for, lifetimes, whole_seconds
from canvas.model import states
from canvas.model.ids import new_id
from canvas.model.record import Record, RecordClock, children_of
from canvas.model.settlement import ChordExtension, ResultWrite
from canvas.model.workflow_run import RUN_HEADER
from canvas.wire import codecs
from canvas.wire import record as wire
from canvas.wire.typed_json import MemoEncoder

if TYPE_CHECKING:
    from canvas.drivers.ports.chords import ChordStore
    from canvas.drivers.ports.results import ResultStore
    from canvas.result.record_watch import AsyncRecordWatch, RecordWatch


@ends_in_caller("store_result", "forget", "cleanup", "add_to_chord", "save_group", "delete_group")
class Backend:
    """The result side of an app. Without a result backend every use raises NoResultBackend."""

    def __init__(
        self, results: "ResultStore | None", chords: "ChordStore | None", conf: Config, clock: RecordClock
    ) -> None:
        self._driver = results
        self._chords = chords
        self._conf = conf
        self._clock = clock
        self._second: tuple[int, Any, str, str] = (0, None, "", "")
        """The latest second that was written, the zone, and the text of both."""
        self._expires: tuple[object, int | None] = (None, None)
        """The latest setting by which a success expires, and its seconds."""
        own = results.serializer if results is not None else None
        self.serializer: str = own or conf.result_serializer
        self.max_depth = int(conf.task_message_max_depth)
        """How deep records may be nested."""
        named = conf.result_accept_content or conf.accept_content or ()
        self.accept = codecs.accepted([*named, own] if own else named)
        shared = results is not None and results.shared
        self.unlocks_chords = shared and (chords is None or bool(conf.result_chord_unlock))
        """Whether the task ``celery.chord_unlock`` ends chords, and no parts are counted."""
        self.ends_chords = chords is not None or self.unlocks_chords
        """Whether chords end."""
        self.chords_ended_by_celery = chords is not None and chords.ended_by_celery
        """Whether the store counts parts, and Celery's workers end chords by the records of every header's tasks."""
        self.bodies = MemoEncoder(eq)
        """Writes bodies of chords, which come with each part."""

    @property
    def _results(self) -> "ResultStore":
        if self._driver is None:
            from canvas.drivers.ports.capabilities import missing  # imported late: only to say what is wrong

            raise missing("results")
        return self._driver

    @property
    def stores(self) -> bool:
        """Whether a result backend is configured."""
        return self._driver is not None

    @property
    def supports_autoexpire(self) -> bool:
        """Whether expired results are deleted automatically; else the task ``celery.backend_cleanup`` deletes them."""
        return self._driver is None or self._driver.expires_records

    def ensure_chords_allowed(self) -> None:
        """Raise NoResultBackend if chords cannot end: there is no store, or none that all workers read."""
        if not self.ends_chords:
            from canvas.drivers.ports.capabilities import missing  # imported late: only to say what is wrong

            raise missing("chords")

    def ensure_parts_counted(self, feature: str) -> None:
        """Raise NoResultBackend if the app does not count the parts of chords, which ``feature`` needs."""
        self.ensure_chords_allowed()
        if self.unlocks_chords:
            from canvas.drivers.ports.capabilities import missing  # imported late: only to say what is wrong

            raise missing("parts", feature)

    def encode_part(self, task_id: str, state: str, result: Any) -> bytes:
        """A chord's part. Raises EncodeError."""
        return wire.encode_part(task_id, state, result, serializer=self.serializer, max_depth=self.max_depth)

    def decode_part(self, data: bytes) -> tuple[str, str, Any]:
        """Id, state and result of a chord's part. Raises DecodeError."""
        return wire.decode_part(data, serializer=self.serializer, accept=self.accept, max_depth=self.max_depth)

    @cached_property
    def chord_expires(self) -> int:
        """Seconds for which the remaining state of a chord is kept after its end; 0: without an end."""
        conf = self._conf
        given = conf.result_chord_expires if conf.result_chord_expires is not None else conf.result_expires
        return whole_seconds(given)

    @cached_property
    def chord_lives(self) -> int:
        """Seconds for which a chord is kept while it waits for parts; 0: without an end."""
        return alive_for(self.chord_expires)

    @cached_property
    def run_lives(self) -> int:
        """Seconds for which a workflow's run that has not ended is kept, with the records of its nodes; 0: without an
        end."""
        conf = self._conf
        return lifetimes(conf.workflow_run_expires, conf.result_expires).alive

    @property
    def hides_success(self) -> bool:
        """Whether records are written in a form that no driver reads."""
        return bool(self._conf.result_compression) or self.serializer not in ("json", "msgpack")

    def date_done(self) -> str:
        """The current time as records have it: ISO 8601, in the app's time zone, by the broker's clock."""
        # The text of a second is made once: a worker writes the time of every result.
        zone, moment = self._conf.__dict__["timezone"], time.time() + self._clock.clock_offset
        second = int(moment)
        known, of_zone, start, offset = self._second
        if known != second or of_zone is not zone:
            text = datetime.fromtimestamp(second, self._clock.timezone).isoformat()
            start, offset = text[:19], text[19:]
            self._second = second, zone, start, offset
        return f"{start}.{int((moment - second) * 1_000_000):06}{offset}"

    def get_records(self, task_ids: Sequence[str], retry: bool = True) -> list[Record | None]:
        """The stored records, in order; asked for again while the server is unreachable, unless ``retry`` is off."""
        found = self._results.get(_checked(task_ids), retry)
        return [self._decode(payload) if payload else None for payload in found]

    async def aget_records(self, task_ids: Sequence[str]) -> list[Record | None]:
        found = await self._results.aget(_checked(task_ids))
        return [self._decode(payload) if payload else None for payload in found]

    def succeeded(self, task_ids: Sequence[str]) -> list[bool | None]:
        """Whether each task has succeeded, by the beginning of its record; ``None`` if nothing is stored.

        The values, which may be large, are not read.
        """
        return [wire.says_success(head) if head else None for head in self._results.read_prefix(task_ids, wire.HEAD)]

    async def asucceeded(self, task_ids: Sequence[str]) -> list[bool | None]:
        heads = await self._results.aread_prefix(task_ids, wire.HEAD)
        return [wire.says_success(head) if head else None for head in heads]

    def _decode(self, payload: bytes) -> Record:
        return wire.decode(
            payload,
            serializer=self.serializer,
            accept=self.accept,
            max_bytes=self._conf.task_message_max_bytes,
            max_depth=self.max_depth,
        )

    @contextmanager
    def watch(self, task_ids: Iterable[str]) -> Iterator["RecordWatch"]:
        """Watch ids; nothing stored from now on, or before, is missed."""
        from canvas.result.record_watch import RecordWatch  # imported late: programs that only send tasks do without

        with self._results.watch(_checked(task_ids)) as watch:
            yield RecordWatch(watch, self._decode)

    @asynccontextmanager
    async def awatch(self, task_ids: Iterable[str]) -> AsyncIterator["AsyncRecordWatch"]:
        # Imported late: programs that only send tasks do without.
        from canvas.result.record_watch import AsyncRecordWatch

        async with self._results.awatch(_checked(task_ids)) as watch:
            yield AsyncRecordWatch(watch, self._decode)

    def store_of(self, record: Record, in_run: bool = False) -> ResultWrite:
        """A record as the driver keeps it; ``in_run``: as long as the workflow's run that it is a part of. Raises
        EncodeError."""
        conf = self._conf
        payload = wire.encode(
            record,
            serializer=self.serializer,
            compress=conf.result_compression,
            max_depth=self.max_depth,
            only_set_fields=in_run and record.status == states.STARTED,
        )
        expires = conf.result_expires
        if in_run:
            expires = self.run_lives
        elif record.status == states.FAILURE and conf.result_failure_expires is not None:
            expires = conf.result_failure_expires
        seconds, succeeded = whole_seconds(expires) or None, record.status == states.SUCCESS
        return ResultWrite(record.task_id, payload, seconds, succeeded, about=record.about)

    def success_of(
        self, task_id: str, result: Any, children: list[Any], group_id: Any, parent_id: Any,
        date_start: str | None = None, in_run: bool = False,
    ) -> ResultWrite:  # fmt: skip
        """``store_of`` a success that ends now and has no other fields than these. Raises EncodeError."""
        date_done = self.date_done()
        if self.serializer != "json" or self._conf.result_compression:
            extra = {"date_start": date_start} if date_start else {}
            rest = None, children, date_done, group_id, parent_id, extra
            return self.store_of(Record(task_id, states.SUCCESS, result, *rest), in_run)
        around = children, date_done, group_id, parent_id
        payload = wire.encode_success(task_id, result, *around, self.max_depth, date_start)
        expires = self.run_lives if in_run else self._conf.result_expires
        before, seconds = self._expires
        if expires is not before:
            seconds = whole_seconds(expires) or None
            self._expires = expires, seconds
        return ResultWrite(task_id, payload, seconds, True)

    def has_succeeded(self, task_id: str) -> bool:
        """Whether a success is stored, in a form that the driver may not read."""
        record = self.get_records([task_id])[0] if self._driver is not None and self._driver.shared else None
        return record is not None and record.status == states.SUCCESS

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: str | None = None, request: Any = None, **_: Any
    ) -> Any:
        """Store a state now, outside any settlement (``update_state``). Raises ValueError without an id."""
        if not task_id:
            raise ValueError(
                f"task_id must not be empty. Got {task_id} instead: a task that is called as a function has none"
            )
        record = Record(task_id, state, result, traceback, [] if request is None else children_of(request))
        if request is not None:
            # A program's own request may lack what a worker's has.
            record.group_id, record.parent_id = getattr(request, "group", None), getattr(request, "parent_id", None)
            if self._conf.result_extended:
                record.extend(request)
        if state in states.READY_STATES:
            record.date_done = self.date_done()
        if state == states.SUCCESS or not (self.hides_success and self.has_succeeded(task_id)):
            in_run, reply_to = bool(getattr(request, RUN_HEADER, None)), getattr(request, "reply_to", None) or ""
            self._results.store([self.store_of(record, in_run)._replace(reply_to=reply_to)])
        return result

    def keep(self, record: Record) -> None:
        """Store a record that belongs to a workflow's run. Raises EncodeError."""
        self._results.store([self.store_of(record, in_run=True)])

    def forget(self, task_id: str) -> None:
        """Delete a record."""
        self._results.forget(_checked([task_id]))

    def cleanup(self) -> None:
        """Delete records and groups older than ``result_expires``, in a store that does not expire them."""
        if self._conf.result_expires and self.stores:
            self._results.cleanup(whole_seconds(self._conf.result_expires))

    def add_to_chord(self, chord_id: str, result: Any) -> None:
        """Let a chord that runs wait for one part more, once for each ``result``."""
        self.ensure_parts_counted("add_to_chord")
        assert self._chords is not None
        task_id = getattr(result, "id", None)
        self._chords.start_chords([], [ChordExtension(chord_id, str(task_id or new_id()), str(task_id or ""))])

    def encode_group(self, structure: Any) -> bytes:
        return wire.encode_group(structure, serializer=self.serializer, max_depth=self.max_depth)

    def decode_group(self, payload: bytes) -> Any:
        return wire.decode_group(payload, serializer=self.serializer, accept=self.accept, max_depth=self.max_depth)

    def save_group(self, group_id: str, structure: Any, ignored: Collection[str] = ()) -> None:
        """Keep a GroupResult's tuple form (protocol.md §5.3), and which of its tasks have no results."""
        _checked((group_id,), "group_id")
        payload = wire.encode_group(structure, ignored, serializer=self.serializer, max_depth=self.max_depth)
        self._results.save_group(group_id, payload, whole_seconds(self._conf.result_expires) or None)

    def saved_group(self, group_id: str) -> wire.SavedGroup | None:
        """The value that is kept under ``group_id``; ``None`` when there is nothing. Raises DecodeError."""
        _checked((group_id,), "group_id")
        payload = self._results.get_group(group_id)
        if payload is None:
            return None
        return wire.decode_saved_group(
            payload, serializer=self.serializer, accept=self.accept, max_depth=self.max_depth
        )

    def delete_group(self, group_id: str) -> None:
        _checked((group_id,), "group_id")
        self._results.delete_group(group_id)


def _checked(ids: Iterable[Any], name: str = "task_id") -> list[Any]:
    """The ids. Raises ValueError for an empty one, TypeError for a number: nothing is ever stored under either."""
    for one in (found := list(ids)):
        if not one:
            raise ValueError(f"{name} must not be empty. Got {one} instead.")
        if isinstance(one, int | float):
            raise TypeError(f"{name}: expected text; got {one}")
    return found
