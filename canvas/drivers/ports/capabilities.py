"""The capabilities of a driver's parts, as data, and the error of a feature that needs more."""

from collections.abc import Collection, Mapping
from typing import Literal

from canvas.errors import ConfigurationError, NoResultBackend

Capability = Literal["results", "chords", "parts", "runs", "coordination"]
"""``results``: every process can read a task's result. ``chords``: chords end. ``parts``: the
store counts the parts of chords; without it the task ``celery.chord_unlock`` ends them. ``runs``: the
store keeps runs of workflows. ``coordination``: all workers share revocations, rates, permits and locks."""

BROKER_OF_ALL: frozenset[Capability] = frozenset({"coordination"})
"""The capabilities of a broker that is a database."""
STORE_OF_ALL: frozenset[Capability] = frozenset({"results", "chords", "parts", "runs"})
"""The capabilities of a store that is one."""

_CURES: Mapping[Capability, str] = {
    "results": "no result backend is configured: set result_backend, or Canvas(backend=…)",
    "chords": "a chord needs a result backend to count its parts; set result_backend to a redis:// or db+… URL "
    "(rpc:// counts none)",
    "parts": "{feature} needs a result backend that counts the parts of chords, and this one leaves chords to "
    "celery.chord_unlock: set result_backend to redis:// or a database, without result_chord_unlock",
    "runs": "a workflow needs a result backend to keep its run in: set result_backend to a redis:// or db+… URL "
    "(rpc://, cache+memcached://, django-cache and file:// keep none)",
    "coordination": "{feature} needs state that all workers share, and the broker keeps none: set canvas_state to a "
    "redis:// or db+… URL, use a redis:// broker, or leave it out",
}


def missing(needed: Capability, feature: str = "") -> ConfigurationError:
    """The error of a ``feature`` that needs more than a driver can do. It names the missing part, and the setting to
    change. It is a NoResultBackend where a result backend would do."""
    kind = NoResultBackend if needed in STORE_OF_ALL else ConfigurationError
    return kind(_CURES[needed].format(feature=feature))


def require(found: Collection[Capability], needed: Capability, feature: str) -> None:
    """Raise the error of ``missing`` where a driver lacks a capability that ``feature`` needs."""
    if needed not in found:
        raise missing(needed, feature)
