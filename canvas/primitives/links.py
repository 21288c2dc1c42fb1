"""Callbacks and errbacks of signatures: their ``link`` and ``link_error`` options."""

from collections.abc import Iterable, Sequence
from typing import Any, Self

from canvas.errors import CompositionError
from canvas.primitives.cycles import refuse_cycles
from canvas.primitives.fields import SignatureFields, as_list
from canvas.primitives.misuse import advice
from canvas.primitives.registry import maybe_signature


class LinkedSignature(SignatureFields):
    """A signature with callbacks and errbacks."""

    def link(self, callback: Any) -> Any:
        """Run ``callback`` with the result when it succeeds; returns the callback.

        Raises CompositionError for a callback that is not a signature.
        """
        return self.append_to_list_option("link", self._checked("link", callback))

    def link_error(self, errback: Any) -> Any:
        """Run ``errback`` when it fails; returns the errback.

        Raises CompositionError for an errback that is not a signature.
        """
        return self.append_to_list_option("link_error", self._checked("link_error", errback))

    def on_error(self, errback: Any) -> Self:
        """``link_error(errback)`` that returns the signature itself."""
        self.link_error(errback)
        return self

    def linkable(self) -> Self:
        """A copy to which callbacks can be linked, without a change of the original.

        It shares what is inside of chains: they have their links themselves, not in their steps.
        """
        return self.with_fields(options=dict(self.options))

    def _checked(self, option: str, value: Any) -> Any:
        if not isinstance(value, dict):
            raise CompositionError(f"{self.task}: {option} takes signatures; got {value!r:.100}{advice(value)}")
        return value

    def append_to_list_option(self, key: str, value: Any) -> Any:
        """Add ``value`` to the list in the option ``key``, unless the list contains it; returns the value."""
        items = as_list(self.options.get(key))
        if not has_signature(items, value):
            items.append(value)
        self.options[key] = items
        return value

    def extend_list_option(self, key: str, value: Any) -> None:
        """Add one ``value``, or each of a list, to the list in the option ``key``."""
        self.options[key] = [*as_list(self.options.get(key)), *as_list(value)]

    def flatten_links(self) -> list["LinkedSignature"]:
        """Itself and every callback below it, depth first."""
        refuse_cycles(self)
        found: list[LinkedSignature] = [self]
        # A copy has copies of the callbacks below it.
        pending = [callback.clone() for callback in reversed(self.adopted_links("link"))]
        while pending:
            found.append(pending.pop())
            pending += reversed(found[-1].adopted_links("link"))
        return found

    def adopt_links(self, option: str) -> list[Any]:
        """The signatures under ``link`` or ``link_error``; dicts from a message are replaced by signatures."""
        if not self.options.get(option):
            return []
        found = self.options[option] = self.adopted_links(option)
        return found

    def adopted_links(self, option: str) -> list[Any]:
        """The signatures under ``link`` or ``link_error``, made of dicts if need be."""
        return [maybe_signature(sig, self.own_app) for sig in as_list(self.options.get(option))]


def has_signature(among: Iterable[Any], wanted: Any) -> bool:
    """Whether a signature is ``among`` others.

    Some of these may be dicts from a message, which have lists where a signature has tuples.
    """
    one = maybe_signature(wanted) if isinstance(wanted, dict) else wanted
    return any(
        found is one or found == one or (isinstance(found, dict) and maybe_signature(found) == one) for found in among
    )


class Distinct(Sequence[Any]):
    """The different ones of many signatures, in the order in which they first came."""

    def __init__(self, signatures: Iterable[Any]) -> None:
        self._found: list[Any] = []
        self.counts: list[int] = []
        """How often each has come."""
        self._alike: dict[int, list[int]] = {}
        for sig in signatures:
            alike, at = self._place(sig)
            if at is None:
                alike.append(len(self._found))
                self._found.append(sig)
                self.counts.append(1)
            else:
                self.counts[at] += 1

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, index: Any) -> Any:
        return self._found[index]

    def __contains__(self, sig: object) -> bool:
        """Like ``has_signature``, with few comparisons."""
        return bool(self._found) and self._place(sig)[1] is not None

    def without(self, others: "Distinct") -> "Distinct":
        return Distinct(sig for sig in self if sig not in others)

    def _place(self, sig: Any) -> tuple[list[int], int | None]:
        """The places of those with the same hash, and the place of the equal one."""
        alike = self._alike.setdefault(_hash(sig), [])
        return alike, next((at for at in alike if has_signature((self._found[at],), sig)), None)


def _hash(value: Any) -> int:
    """The same for values that ``has_signature`` takes for equal, such as a list and a tuple of the same items."""
    if isinstance(value, dict):
        return hash(frozenset((key, _hash(part)) for key, part in value.items()))
    if isinstance(value, list | tuple):
        return hash(tuple(map(_hash, value)))
    try:
        return hash(value)
    except TypeError:
        return 0
