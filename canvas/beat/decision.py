"""The decision about an entry that is due: pure, except that it asks whether the last run is over."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from canvas.beat.entries import Entry
from canvas.beat.state import EntryState

MISSED_AFTER = 60.0
"""Seconds after which a tick counts as missed."""
LOOK_AGAIN = 1.0
"""Seconds after which it is looked again whether a run is over for which a tick waits."""
Action = Literal["send", "cancel_and_send", "skip", "miss", "wait", "keep"]


class Decision(NamedTuple):
    """The action, and the state of the entry after it."""

    action: Action
    state: EntryState
    due: float | None
    """Unix time, seconds, when the entry is to be looked at again."""


def decide(entry: Entry, state: EntryState, now: datetime, running: Callable[[], bool]) -> Decision:
    """The decision at ``now``, which is also the time of ``entry.schedule``.

    ``running``: whether the last run is not over. Raises whatever the schedule raises.
    """
    state = replace(state)
    timestamp = now.timestamp()
    if state.paused:
        return Decision("keep", state, None)
    is_due, seconds = entry.schedule.is_due(state.last_run)
    if not is_due:
        state.next_due = _later(timestamp, seconds)
        return _from_queue(state, timestamp, running)
    tick = now + min(timedelta(), entry.schedule.remaining_estimate(state.last_run))
    following = _later(timestamp, seconds)
    if entry.catch_up == "none" and (now - tick).total_seconds() > MISSED_AFTER:
        state.missed += 1
        return _advanced("miss", state, now, following)
    if entry.catch_up == "all" and tick > state.last_run:
        following = _later(timestamp, entry.schedule.remaining_estimate(tick).total_seconds())
        now = tick
    return _with_overlap(entry, state, now, following, running)


def _with_overlap(
    entry: Entry, state: EntryState, moment: datetime, following: float, running: Callable[[], bool]
) -> Decision:
    if entry.overlap == "allow" or not (state.waiting or running()):
        state.count += 1
        return _advanced("send", state, moment, following)
    if entry.overlap == "skip":
        state.skipped += 1
        return _advanced("skip", state, moment, following)
    if entry.overlap == "queue":
        state.waiting += 1
        return _advanced("wait", state, moment, following)
    state.count += 1
    return _advanced("cancel_and_send", state, moment, following)


def _from_queue(state: EntryState, timestamp: float, running: Callable[[], bool]) -> Decision:
    """Send the first tick that waits, if there is one and its turn has come."""
    if not state.waiting or running():
        return Decision("keep", state, _look(state, timestamp))
    state.waiting -= 1
    state.count += 1
    return Decision("send", state, _look(state, timestamp))


def _advanced(action: Action, state: EntryState, moment: datetime, following: float) -> Decision:
    state.ran_at(moment)
    state.next_due = following
    return Decision(action, state, _look(state, moment.timestamp()))


def _look(state: EntryState, timestamp: float) -> float | None:
    if state.waiting and state.next_due is not None:
        return min(state.next_due, timestamp + LOOK_AGAIN)
    return state.next_due


def _later(timestamp: float, seconds: float) -> float:
    # The sum of two floats may be below the whole second that is meant.
    return round(timestamp + seconds, 6)
