"""The index of workflows' runs: the entry of a run, and a query."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from canvas.model import states

CANCELLING, CANCELLED = "CANCELLING", "CANCELLED"
OF_CELERY = "OF_CELERY"
"""Listed instead of a state: the run is one of Celery workers, which store no state of it."""
RUN_STATES = (states.PENDING, states.STARTED, CANCELLING, states.FAILURE, CANCELLED, states.SUCCESS)
"""The states of runs, in the order in which a run goes through them."""
IF_CANCELLED = {states.FAILURE: CANCELLED, states.STARTED: CANCELLING, states.PENDING: CANCELLING}
"""The state of a run whose present attempt is cancelled, by the state that its record has."""


def in_celery_form(about: Mapping[str, Any]) -> bool:
    """Whether the run with this metadata is in Celery's own form, for Celery workers."""
    return bool(about["target"] == "celery")


def terms_of(name: str | None, labels: Sequence[tuple[str, str]]) -> list[str]:
    """The entries of the index that a run of this name, with these labels, has."""
    named = [] if name is None else [f"name:{name}"]
    return [*named, *(f"label:{label}={value}" for label, value in labels)]


class RunListing(NamedTuple):
    """The entry of a new run."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()
    """Labels and their values as text."""
    state: str = states.PENDING
    key: str = ""
    """The key of an idempotent start; of all runs of one name, one has it."""

    @property
    def terms(self) -> list[str]:
        return terms_of(self.name, self.labels)


class RunQuery(NamedTuple):
    """Which runs to find: those that have everything that is given."""

    name: str | None = None
    states: tuple[str, ...] = (*RUN_STATES, OF_CELERY)
    labels: tuple[tuple[str, str], ...] = ()
    since: float | None = None
    """Created at this unix time or later."""
    until: float | None = None
    """Created before this unix time."""
    limit: int = 100

    @property
    def terms(self) -> list[str]:
        return terms_of(self.name, self.labels)


class FoundRun(NamedTuple):
    """A run that a query has found."""

    run: str
    state: str
    """As it is listed."""
    created: float
    """Unix time."""
