"""A revocation as text: an id, or a stamp's name and value."""

import json
from collections.abc import Iterable

Entry = str | tuple[str, str]


def id_entry(task_id: str) -> str:
    """The entry that revokes one task."""
    return f"id:{task_id}"


def stamp_entries(headers: dict[str, object]) -> list[str]:
    """The entries that revoke every task with one of these stamps; a stamp's value may be a list of values."""
    found = []
    for name, value in headers.items():
        values: Iterable[object] = value if isinstance(value, list | tuple | set) else [value]
        found += [f"stamp:{json.dumps([name, str(one)])}" for one in values]
    return found


def read_entry(text: str) -> Entry:
    """The id, or the stamp as ``(name, value)``."""
    kind, _, rest = text.partition(":")
    if kind == "stamp":
        name, value = json.loads(rest)
        return name, value
    return rest


def revoked_ids(entries: Iterable[str]) -> list[str]:
    """The ids among entries."""
    return [entry for entry in map(read_entry, entries) if isinstance(entry, str)]
