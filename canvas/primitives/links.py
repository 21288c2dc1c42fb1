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
        return self.append_to_list_option("link", self._linkable("link", callback))

    def link_error(self, errback: Any) -> Any:
        """Run ``errback`` when it fails; returns the errback.

        Raises CompositionError for an errback that is not a signature.
        """
        return self.append_to_list_option("link_error", self._linkable("link_error", errback))

    def on_error(self, errback: Any) -> Self:
        """``link_error`` that returns the signature itself."""
        self.link_error(errback)
        return self

    def _linkable(self, option: str, value: Any) -> Any:
        if not isinstance(value, dict):
            raise CompositionError(f"{self.task}: {option} takes signatures; got {value!r:.100}{advice(value)}")
        return value

    def append_to_list_option(self, key: str, value: Any) -> Any:
        """Add a value to a list among the options, unless the list contains it; returns the value."""
        items = as_list(self.options.get(key))
        if not has_signature(items, value):
            items.append(value)
        self.options[key] = items
        return value

    def extend_list_option(self, key: str, value: Any) -> None:
        """Add values to a list among the options."""
        self.options[key] = [*as_list(self.options.get(key)), *as_list(value)]

    def flatten_links(self) -> list["LinkedSignature"]:
        """Itself and every callback below it, depth first."""
        refuse_cycles(self)
        found: list[LinkedSignature] = [self]
        for callback in self.adopted_links("link"):
            found.extend(callback.clone().flatten_links())
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


def distinct(signatures: Sequence[Any]) -> list[Any]:
    """Each of the signatures once, the first where several are equal."""
    return [sig for at, sig in enumerate(signatures) if not has_signature(signatures[:at], sig)]
