"""Stamps: named values that travel with every task of a workflow, in its messages' headers (semantics.md §10).

A stamp is an option of a signature whose name ``options["stamped_headers"]`` lists. A visitor decides stamps
signature by signature; plain keyword arguments are the same for all.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Protocol

Stamps = dict[str, Any]


class Stampable(Protocol):
    """A signature, as far as its stamps go."""

    @property
    def options(self) -> dict[str, Any]: ...

    @property
    def subtask_type(self) -> str | None: ...

    def set(self, **options: Any) -> Any: ...

    def adopt_links(self, option: str) -> Sequence["Stampable"]: ...

    def members(self) -> Sequence["Stampable"]: ...

    def stamp(self, visitor: "StampingVisitor | None" = None, append_stamps: bool = False, **headers: Any) -> Any: ...


class StampingVisitor(ABC):
    """Walks a workflow; each ``on_…`` method returns stamps for its argument.

    The returned dict's keys are stamps, unless it lists those that are under ``"stamped_headers"``. Keyword
    arguments are the stamps gathered on the way.
    """

    @abstractmethod
    def on_signature(self, sig: Any, **headers: Any) -> Stamps:
        """Stamps of the task ``sig``."""

    def on_group_start(self, group: Any, **headers: Any) -> Stamps:
        """Stamps of a group's members."""
        return {}

    def on_group_end(self, group: Any, **headers: Any) -> None:  # noqa: B027 - it may be left as it is
        """After the group's members."""

    def on_chain_start(self, chain: Any, **headers: Any) -> Stamps:
        """Stamps of a chain's steps."""
        return {}

    def on_chain_end(self, chain: Any, **headers: Any) -> None:  # noqa: B027 - it may be left as it is
        """After the chain's steps."""

    def on_chord_header_start(self, sig: Any, **header: Any) -> Stamps:
        """Stamps of the header of the chord ``sig``; by default those of ``on_group_start``."""
        return self.on_group_start(sig.as_header_group(), **header)

    def on_chord_header_end(self, sig: Any, **header: Any) -> None:
        """After the header of the chord ``sig``; by default ``on_group_end``."""
        self.on_group_end(sig.tasks, **header)

    def on_chord_body(self, sig: Any, **header: Any) -> Stamps:
        """Stamps of the body of the chord ``sig``."""
        return {}

    def on_callback(self, callback: Any, **header: Any) -> Stamps:
        """Stamps of ``callback``, a signature under ``link``."""
        return {}

    def on_errback(self, errback: Any, **header: Any) -> Stamps:
        """Stamps of ``errback``, a signature under ``link_error``."""
        return {}


def stamp_task(sig: Stampable, visitor: StampingVisitor | None, append: bool, given: Stamps) -> None:
    """Stamp one signature and its links."""
    stamp_links(sig, visitor, append, given)
    seen = visitor.on_signature(sig, **given) if visitor is not None else None
    sig.set(**gathered(given, seen, sig.options, append))


def stamp_chain(sig: Stampable, visitor: StampingVisitor | None, append: bool, given: Stamps) -> None:
    """Stamp a chain's steps, with the chain's own stamps."""
    stamps = _stamp_members(sig, visitor.on_chain_start if visitor is not None else None, visitor, append, given)
    if visitor is not None:
        visitor.on_chain_end(sig, **stamps)


def stamp_group(sig: Stampable, visitor: StampingVisitor | None, append: bool, given: Stamps) -> None:
    """Stamp a group's members, with the group's own stamps."""
    stamps = _stamp_members(sig, visitor.on_group_start if visitor is not None else None, visitor, append, given)
    if visitor is not None:
        visitor.on_group_end(sig, **stamps)


def _stamp_members(sig: Stampable, visit: Any, visitor: StampingVisitor | None, append: bool, given: Stamps) -> Stamps:
    stamps = gathered(given, visit(sig, **given) if visit is not None else None, sig.options, append)
    stamp_links(sig, visitor, append and sig.subtask_type != "chain", stamps)
    for member in sig.members():
        member.stamp(visitor, append, **stamps)
    return stamps


def stamp_chord(sig: Any, visitor: StampingVisitor | None, append: bool, given: Stamps) -> None:
    """Stamp a chord's header, and with a visitor its body too (semantics.md P3, P4)."""
    seen = visitor.on_chord_header_start(sig, **given) if visitor is not None else None
    stamps = gathered(given, seen, sig.options, append)
    stamp_links(sig, visitor, append, stamps)
    for member in sig.header:
        member.stamp(visitor, append, **stamps)
    if visitor is None:
        return
    visitor.on_chord_header_end(sig, **stamps)
    if sig.body is not None:
        stamps = gathered(stamps, visitor.on_chord_body(sig, **stamps), sig.options, append)
        sig.body.stamp(visitor, append, **stamps)


def stamp_links(sig: Stampable, visitor: StampingVisitor | None, append: bool, given: Stamps) -> None:
    """Stamp callbacks, then errbacks; each starts with the stamps of the one before (semantics.md P5)."""
    for option in ("link", "link_error"):
        linked = sig.adopt_links(option)
        stamps = deepcopy(given)
        for link in linked:
            seen = None
            if visitor is not None:
                visit = visitor.on_callback if option == "link" else visitor.on_errback
                seen = visit(link, **stamps)
            stamps = gathered(stamps, seen, None, append)
            link.stamp(visitor, append, **stamps)


def gathered(given: Stamps, seen: Stamps | None, own: Stamps | None, append: bool) -> Stamps:
    """Stamps from above, from the visitor, and (``own`` options) already there, with their names listed.

    Where two have one name, the first of the three stays; with ``append`` it becomes the list of both.
    """
    stamps = dict(given)
    stamps.setdefault("stamped_headers", list(stamps))
    if seen is not None:
        _merge(stamps, {**seen, "stamped_headers": seen.get("stamped_headers", list(seen))}, append)
    if own is not None:
        stamps["stamped_headers"] = [*stamps["stamped_headers"], *(own.get("stamped_headers") or ())]
        _merge(stamps, {key: value for key, value in own.items() if key in stamps["stamped_headers"]}, append)
    stamps["stamped_headers"] = list(dict.fromkeys(stamps["stamped_headers"]))
    return stamps


def _merge(into: Stamps, more: Stamps, append: bool) -> None:
    for key, value in more.items():
        if key not in into:
            into[key] = value
            continue
        mine = into[key]
        if isinstance(mine, dict) and isinstance(value, dict):
            into[key] = dict(mine)
            _merge(into[key], value, append)
        elif isinstance(mine, list) and isinstance(value, list):
            into[key] = [*mine, *value]
        elif append:
            listed = [] if mine is None else list(mine) if isinstance(mine, list | tuple | set) else [mine]
            into[key] = [*listed, *(value if isinstance(value, list) else [value])]
