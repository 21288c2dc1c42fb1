"""Labels of runs: typed values by which runs are found."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from math import isfinite
from re import compile as pattern
from typing import Any

from canvas.errors import CompositionError
from canvas.model import states
from canvas.model.run_index import OF_CELERY, RunListing, in_celery_form

MOST_LABELS = 16
LONGEST_VALUE = 256
_NAME = pattern(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_KINDS: Mapping[str, type[date]] = {"datetime": datetime, "date": date}


def stored_labels(labels: Mapping[str, Any]) -> dict[str, Any]:
    """Labels as every serializer writes them. Raises CompositionError for labels that a run cannot have."""
    if not isinstance(labels, Mapping):
        raise CompositionError(f"labels: expected a mapping of names to values; got {labels!r:.100}")
    if len(labels) > MOST_LABELS:
        raise CompositionError(f"labels: expected at most {MOST_LABELS}; got {len(labels)}")
    return {checked_name(name): _stored(name, value) for name, value in labels.items()}


def checked_name(name: Any) -> str:
    """The name of a label. Raises CompositionError."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise CompositionError(
            "labels: expected a name of 1 to 64 letters, digits, '_', '-' and '.', not beginning with '-' or '.'; "
            f"got {name!r:.100}"
        )
    return name


def _stored(name: str, value: Any) -> Any:
    label_text(value, name)
    kind = next((kind for kind, known in _KINDS.items() if isinstance(value, known)), None)
    return value if kind is None else {kind: value.isoformat()}


def labels_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """The labels in a run's metadata, with their values."""
    return {name: _value(stored) for name, stored in (about.get("labels") or {}).items()}


def _value(stored: Any) -> Any:
    if not isinstance(stored, dict):
        return stored
    ((kind, text),) = stored.items()
    return _KINDS[kind].fromisoformat(text)


def json_value(value: Any) -> Any:
    """A label's value in JSON: dates are text."""
    return value.isoformat() if isinstance(value, date) else value


def label_text(value: Any, name: str = "") -> str:
    """The text by which values are compared: 42, 42.0 and "42" are the same. Raises CompositionError for a value that
    no label can have."""
    match value:
        case bool():
            return str(value).lower()
        case int():
            text = str(value)
        case float() if isfinite(value):
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
        case datetime():
            return (value.astimezone(UTC) if value.tzinfo is not None else value).isoformat()
        case date():
            return value.isoformat()
        case str():
            text = value
        case _:
            raise CompositionError(
                f"label {name!r}: expected text, a finite number, a boolean, a date or a datetime; got {value!r:.100}"
            )
    if len(text) > LONGEST_VALUE:
        raise CompositionError(f"label {name!r}: expected at most {LONGEST_VALUE} characters; got {len(text)}")
    return text


def label_terms(labels: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Labels as the index has them, in the order of their names."""
    return tuple((name, label_text(value, name)) for name, value in sorted(labels.items()))


def run_listing(about: Mapping[str, Any]) -> RunListing:
    """The listing of a new run, or of a new attempt."""
    state = OF_CELERY if in_celery_form(about) else states.PENDING
    return RunListing(about["name"], label_terms(labels_of(about)), state, about.get("run_key", ""))
