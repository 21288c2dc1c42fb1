"""How long the settings keep results, chords, runs of workflows, and the records of their nodes."""

from datetime import timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from canvas.config.config import Config

ABANDONED_AFTER = 30 * 86_400
"""Seconds without any progress after which a chord or a run counts as abandoned: its state expires then."""


def alive_for(*expires: int) -> int:
    """Seconds to keep the state of a chord or run that is still alive, if it is kept for ``expires`` seconds after its
    end; 0: without an end. It is longer, because a message may wait, and a task may run, for an unknown time."""
    return max(ABANDONED_AFTER, *expires) if all(expires) else 0


def whole_seconds(duration: float | timedelta | None) -> int:
    """A duration of the settings in seconds; 0: without an end."""
    return int(duration.total_seconds() if isinstance(duration, timedelta) else duration or 0)


def longer(one: int, other: int) -> int:
    """The longer of two times to keep something; 0 is without an end."""
    return max(one, other) if one and other else 0


class RunLifetimes(NamedTuple):
    """How long the data of a run is kept, in seconds; 0: without an end."""

    alive: int
    """All data of a run that has not ended, after its last progress."""
    run: int
    """The run's metadata and nodes, after its end."""
    records: int
    """The records of its nodes, after its end."""


LASTING = RunLifetimes(0, 0, 0)
"""The lifetimes of runs in a store in which nothing expires."""


def run_lifetimes(conf: Config) -> RunLifetimes:
    """The lifetimes of an app's runs: ``workflow_run_expires``, and at least the longest of its results."""
    return lifetimes(conf.workflow_run_expires, conf.result_expires)


@lru_cache(maxsize=16)
def lifetimes(run_expires: Any, result_expires: Any) -> RunLifetimes:
    """Of runs, by the values of these two settings."""
    run = whole_seconds(run_expires)
    records = longer(run, whole_seconds(result_expires))
    return RunLifetimes(alive_for(records), run, records)
