"""Signatures in wire form, as plain dicts: made, copied, taken apart."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from canvas.primitives.fields import signature_dict

Wire = dict[str, Any]


def chord_dict(header: list[Wire], body: Wire) -> Wire:
    """A chord in wire form."""
    return signature_dict("celery.chord", [], {"kwargs": {}, "header": header, "body": body}, {}, "chord")


def line(collect: Callable[[], Wire], sig: Any) -> list[Wire]:
    """A signature as steps, one after the other, each a copy; a group becomes a chord that gives a list."""
    kind, mine = sig["subtask_type"], copied(sig)
    if kind == "chain":
        steps = [step for one in sig["kwargs"]["tasks"] for step in line(collect, one)]
        steps[-1]["options"] |= mine["options"]
        return steps
    if kind == "group":
        return [chord_dict(mine["kwargs"]["tasks"], collect())]
    return [mine]


def copied(sig: Any) -> Wire:
    """A signature whose parts may be changed."""
    mine: Wire = {**sig, "options": dict(sig["options"]), "kwargs": dict(sig["kwargs"])}
    kwargs = mine["kwargs"]
    if sig["subtask_type"] in ("chain", "group"):
        kwargs["tasks"] = [copied(one) for one in kwargs["tasks"]]
    elif sig["subtask_type"] == "chord":
        header = kwargs["header"]
        kwargs["header"] = copied(header) if isinstance(header, dict) else [copied(one) for one in header]
        kwargs["body"] = copied(kwargs["body"])
    return mine


def last_task(sig: Wire) -> Wire:
    if sig["subtask_type"] == "chain":
        return last_task(sig["kwargs"]["tasks"][-1])
    return last_task(sig["kwargs"]["body"]) if sig["subtask_type"] == "chord" else sig


def tasks_of(sig: Wire) -> Iterator[Wire]:
    """The tasks that a signature is composed of."""
    kwargs, kind = sig["kwargs"], sig["subtask_type"]
    if kind in ("chain", "group"):
        inner = kwargs["tasks"]
    elif kind == "chord":
        header = kwargs["header"]
        inner = [*([header] if isinstance(header, dict) else header), kwargs["body"]]
    else:
        yield sig
        return
    for one in inner:
        yield from tasks_of(one)


def first_step(sig: Wire) -> Wire:
    return first_step(sig["kwargs"]["tasks"][0]) if sig["subtask_type"] == "chain" else sig


def estimated_bytes(sigs: Sequence[Wire]) -> list[int]:
    """About how many bytes each signature's message has. A value that stands in several places is counted in each, and
    measured once."""
    known: dict[int, int] = {}

    def size(value: Any) -> int:
        if isinstance(value, str):
            return len(value) + 4
        if not isinstance(value, dict | list | tuple):
            return 2 + (len(repr(value)) if value is not None else 4)
        found = known.get(id(value))
        if found is None:
            inner = value.values() if isinstance(value, dict) else value
            found = 2 + sum(map(size, inner)) + (sum(map(size, value)) if isinstance(value, dict) else 0)
            known[id(value)] = found
        return found

    # The body of a message is JSON in base64, beside its headers.
    return [size(sig) * 4 // 3 + 1000 for sig in sigs]
