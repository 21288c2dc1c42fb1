"""The service: a loop that takes due entries from the store and sends what they stand for.

Any number of services may run. Each tick is claimed by a write that needs the entry's revision, and the messages of the
tick are a part of that write: one service sends it, or none.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from canvas.beat import log
from canvas.beat.clock import BeatClock
from canvas.beat.configured_entries import SetupApp, entries_of, synchronize, with_cleanup
from canvas.beat.decision import Decision, decide
from canvas.beat.entries import Entry
from canvas.beat.overlap import cancel, check_overlap, is_running
from canvas.beat.running import LOOKS_WITHIN, RETRY_EVERY, BeatService
from canvas.beat.state import EntryState
from canvas.beat.store import EntryStore, Known
from canvas.beat.tick_messages import Tick, tick_of
from canvas.drivers.ports.schedules import StoredEntry
from canvas.errors import DuplicateTask, OperationalError
from canvas.telemetry import emit

POLL_EVERY = 1.0
"""Seconds between two looks for entries that other processes have added, unless ``beat_max_loop_interval`` is set."""
SEND_AGAIN_AFTER = 60.0
"""Seconds after which another beat sends a tick that was claimed and not reported sent."""
_AT_ONCE = 100


def _nothing(_: EntryState) -> None:
    """Beat's own entries have no other place where a tick is noted."""


class Service(BeatService):
    """Beat, for one app. ``start`` runs it until ``stop``."""

    try_again_after = 300.0
    """Seconds after which an entry is tried again whose next run could not be computed."""

    def __init__(
        self, app: SetupApp, max_interval: float | None = None, schedule_filename: str | None = None,
        monotonic: Callable[[], float] = time.monotonic, wait: Callable[[float], object] | None = None,
    ) -> None:  # fmt: skip
        """``max_interval``: the longest wait between two looks, seconds (default: ``beat_max_loop_interval``, else 1).

        ``schedule_filename``: where Celery's beat kept its state; see ``beat_schedule_filename``. ``monotonic`` and
        ``wait`` are the clock and how to wait, for tests.
        """
        super().__init__()
        self.app = app
        self.max_interval = max_interval or app.conf.beat_max_loop_interval or POLL_EVERY
        self.schedule_filename = schedule_filename or app.conf.beat_schedule_filename
        self.clock = BeatClock(app, monotonic)
        self.store = EntryStore(app.driver.schedules, schedule_name(app), app.signer)
        self._wait = wait or self._stopped.wait
        self._monotonic = monotonic
        self._looked_at = monotonic()
        self._given: Any = None
        self._entries: dict[str, Entry] = {}
        self._unknown: set[str] = set()

    def start(self, embedded: bool = False) -> None:
        """Run until ``stop``; connection errors are logged, and the call tried again."""
        self.announce(embedded)
        try:
            while not self._stopped.is_set():
                try:
                    with self._tick_lock:
                        seconds = self.tick()
                    self._looked_at = self._monotonic()
                except OperationalError as exc:
                    log.connection_lost(exc, RETRY_EVERY)
                    seconds = RETRY_EVERY
                if seconds > 0:
                    self._wait(seconds)
        finally:
            log.stopping()

    def trouble(self) -> str:
        return self.late_by(self._monotonic() - self._looked_at, float(self.max_interval) + LOOKS_WITHIN)

    @property
    def about(self) -> str:
        return f"    . schedule -> {self.store.schedule}"

    def tick(self) -> float:
        """Send what is due now. Returns how many seconds to wait until the next call."""
        if self.app.conf.beat_schedule is not self._given:
            self.setup()
        found = self.store.due(_AT_ONCE + len(self._unknown))
        self.clock.sync(found.now)
        handled = [self._handle(one) for one in found.entries]
        if any(handled):
            return 0.0
        waits = [] if found.next_due is None else [found.next_due - self.clock.timestamp()]
        return max(0.0, min([*waits, float(self.max_interval)]))

    def setup(self) -> None:
        """Take the entries over from the settings: new ones, changed schedules, those that are gone."""
        given = self.app.conf.beat_schedule
        self.clock.sync(self.store.due(0).now)
        self._entries = self.settings_entries(given)
        synchronize(self.store, self._entries, self.clock, self.schedule_filename)
        self._given = given

    def settings_entries(self, given: Mapping[str, Any] | None) -> dict[str, Entry]:
        """The entries of ``beat_schedule``, by this service's clock."""
        entries = entries_of(self.app, with_cleanup(self.app, given or {}))
        for entry in entries.values():
            entry.schedule.app = self.clock
        return entries

    def _handle(self, one: StoredEntry) -> bool:
        """Do what is due. Returns whether there was anything to do."""
        try:
            known = self.store.known(one)
            entry = self._entry(known)
        except OperationalError:
            raise
        except Exception as exc:  # noqa: BLE001 - its definition and its modules may raise anything, and the others go on
            if one.name not in self._unknown:
                log.refused_entry(exc)
                self._unknown.add(one.name)
            return False
        if entry is None:
            self._unknown.add(one.name)
            return False
        self._unknown.discard(one.name)
        if known.state.sending:
            return self._send_again(entry, known)
        try:
            decision = decide(entry, known.state, self.clock.now(), lambda: self._running(known.state))
        except OperationalError:
            raise
        except Exception:  # noqa: BLE001 - a schedule may be anyone's code, and the other entries go on
            log.not_computed(one.name, self.try_again_after)
            due = self.clock.timestamp() + self.try_again_after
            self.store.write(one.name, known.revision, known.state, due)
            return True
        return self._carry_out(entry, known, decision)

    def _entry(self, known: Known) -> Entry | None:
        """The entry; ``None`` when it is one of other settings, such as those of another release."""
        entry = self._entries.get(known.name)
        if entry is None:
            entry = self.store.dynamic(known)
            if entry is not None:
                entry.schedule.app = self.clock
                check_overlap(self.app, entry)
        return entry

    def _running(self, state: EntryState) -> bool:
        return is_running(self.app, state, self.clock.timestamp())

    def _carry_out(
        self, entry: Entry, known: Known, decision: Decision, claimed: Callable[[EntryState], None] = _nothing
    ) -> bool:
        """Write a decision, and send what it says; ``claimed`` gets the entry's new state if this beat wrote it."""
        action, state, due = decision
        if action not in ("send", "cancel_and_send"):
            if action != "keep":
                state.note(action, {"at": self.clock.timestamp()})
            held = self.store.write(entry.name, known.revision, state, due).held
            if held and action != "keep":
                log.left_out(entry, action, state)
                emit("beat.left_out", entry=entry.name, action=action)
                claimed(state)
            return True
        if action == "cancel_and_send" and known.state.last:
            log.cancelling(entry)
            cancel(self.app, known.state)
        try:
            tick = tick_of(self.app, entry, self._seed(known))
        except OperationalError:
            raise
        except Exception as exc:  # noqa: BLE001 - arguments may be anyone's code, and the other entries go on
            if self.store.write(entry.name, known.revision, state, due).held:
                log.not_sent(f"Couldn't apply scheduled task {entry.name}: {exc}")
                claimed(state)
            return True
        if self._send(entry, known, tick, state, due):
            claimed(state)
        return True

    def _seed(self, known: Known) -> str:
        return f"{self.store.schedule}/{known.name}/{known.state.epoch}/{known.revision}"

    def _send(self, entry: Entry, known: Known, tick: Tick, state: EntryState, due: float | None) -> bool:
        """Claim a tick and send it. Returns whether this beat has claimed it."""
        state.last = {**tick.last, "at": self.clock.timestamp()}
        state.note("send", state.last)
        if tick.settlement is None:
            state.sending = self._seed(known)
            due = self.clock.timestamp() + SEND_AGAIN_AFTER
        if tick.before is not None:
            tick.before()
        emit("beat.claiming", entry=entry.name)
        verdict = self.store.write(entry.name, known.revision, state, due, settlement=tick.settlement)
        if verdict.refused:
            return self._refused(entry, known, state, due, verdict.refused)
        if not verdict.held:
            log.taken(entry)
            return False
        emit("beat.claimed", entry=entry.name)
        log.sending(entry)
        for follow in tick.after:
            follow(verdict)
        if tick.send is not None:
            self._send_own(entry, known.revision + 1, tick.send, state)
        log.sent(entry, tick.last)
        planned = known.state.next_due
        emit("beat.sent", entry=entry.name, lag=None if planned is None else max(0.0, state.last["at"] - planned))
        return True

    def _refused(self, entry: Entry, known: Known, state: EntryState, due: float | None, why: str) -> bool:
        """Redis will never take these messages: go on with the next tick."""
        state.last = known.state.last
        held = self.store.write(entry.name, known.revision, state, due).held
        if held:
            log.not_sent(f"Couldn't apply scheduled task {entry.name}: {why}")
        return held

    def _send_again(self, entry: Entry, known: Known) -> bool:
        """Send a tick whose beat has died, or was stopped, between its claim and the end of its sending."""
        state = known.state
        if self.store.write(entry.name, known.revision, state, self.clock.timestamp() + SEND_AGAIN_AFTER).held:
            tick = tick_of(self.app, entry, state.sending)
            self._send_own(entry, known.revision + 1, tick.send or (lambda: None), state)
        return True

    def _send_own(self, entry: Entry, revision: int, send: Callable[[], Any], state: EntryState) -> None:
        try:
            send()
        except OperationalError:
            raise
        except DuplicateTask as exc:
            log.logger.info("Scheduler: %s (%s) is not sent: %s", entry.name, entry.what, exc)
        except Exception as exc:  # noqa: BLE001 - it is the task's own code, and the other entries go on
            log.not_sent(exc)
        state.sending = ""
        self.store.write(entry.name, revision, state, state.next_due)


def schedule_name(app: SetupApp) -> str:
    """The name of an app's schedule in the store: programs with apps of one name share it."""
    return str(app.main or "default")
