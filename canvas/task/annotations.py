"""``task_annotations``: attributes of tasks set from the configuration."""

from collections.abc import Iterator, Mapping
from typing import Any

from canvas.errors import ConfigurationError


def annotate(task: Any, annotations: Any) -> None:
    """Set the attributes on ``task``'s class that the setting gives for it.

    The setting is a mapping of task names (``"*"``: every task) to attributes, an object with ``annotate(task)``, or a
    list of these. A key that starts with ``@`` names a method, and its value is a decorator of it.
    """
    for entry in annotations if isinstance(annotations, list | tuple) else [annotations]:
        for attributes in _of(entry, task):
            for key, value in attributes.items():
                if key.startswith("@"):
                    setattr(type(task), key[1:], value(getattr(type(task), key[1:])))
                else:
                    setattr(type(task), key, value)


def _of(entry: Any, task: Any) -> Iterator[Mapping[str, Any]]:
    if entry is None:
        return
    if isinstance(entry, Mapping):
        found = [entry.get("*"), entry.get(task.name)]
    elif hasattr(entry, "annotate"):
        found = [entry.annotate_any() if hasattr(entry, "annotate_any") else None, entry.annotate(task)]
    else:
        raise ConfigurationError(f"task_annotations: expected mappings or objects with annotate(); got {entry!r:.100}")
    yield from (attributes for attributes in found if attributes)
