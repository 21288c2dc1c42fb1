"""How long the settings keep runs of workflows, and the records of their nodes."""

from functools import lru_cache
from typing import Any, NamedTuple

from canvas.config.config import Config
from canvas.model.settlement import alive_for, longer, whole_seconds


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
