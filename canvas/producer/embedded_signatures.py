"""The signatures that a message carries: its callbacks, its chain, its chord's body, and theirs."""

from collections.abc import Iterator, Mapping
from typing import Any

from canvas.primitives.fields import as_list


def embedded_signatures(options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every signature in wire form that a message's options carry, at any depth; each once."""
    pending = [sig for name in ("chain", "chord", "link", "link_error") for sig in as_list(options.get(name))]
    seen: set[int] = set()
    while pending:
        sig = pending.pop()
        if not isinstance(sig, Mapping) or id(sig) in seen:
            continue
        seen.add(id(sig))
        yield sig
        kwargs = sig.get("kwargs") or {}
        if sig.get("subtask_type"):
            pending += [*as_list(kwargs.get("tasks")), *as_list(kwargs.get("header")), *as_list(kwargs.get("body"))]
        pending += [s for name in ("chain", "chord", "link", "link_error") for s in as_list(sig["options"].get(name))]
