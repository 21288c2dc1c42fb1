"""The index of workflows' runs in this process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from canvas.model.run_index import IF_CANCELLED, FoundRun, RunListing, RunQuery


@dataclass(slots=True)
class _Entry:
    listing: RunListing
    state: str
    created: float


class MemoryRunIndex:
    """Runs by their ids. A query reads all of them."""

    def __init__(self, fields_of: Callable[[str], Mapping[str, bytes]]) -> None:
        """``fields_of`` gives the fields of a run; none, when it is not kept."""
        self._fields_of = fields_of
        self._entries: dict[str, _Entry] = {}
        self._keys: dict[tuple[str, str], str] = {}

    def run_of_key(self, name: str, key: str) -> str | None:
        """The run that was started under this name and key, if it is still kept; none for an empty key."""
        run = self._keys.get((name, key))
        return run if run is not None and self._fields_of(run) else None

    def add(self, run: str, listing: RunListing, created: float) -> None:
        """List a run. One that is listed keeps its state, unless ``listing`` is that of a run that has ended."""
        known = self._entries.get(run)
        if known is None:
            self._entries[run] = _Entry(listing, listing.state, created)
        elif listing.state != RunListing("").state:
            self.set_state(run, listing.state)
        if listing.key:
            self._keys[listing.name, listing.key] = run

    def set_state(self, run: str, state: str | None = None, before: str | None = None) -> None:
        """List a run under another state; without one, under the state that its changed fields give it."""
        entry = self._entries.get(run)
        if entry is None or before not in (None, entry.state):
            return
        fields, state = self._fields_of(run), state or entry.state
        cancelled = fields.get("cancelled")
        entry.state = IF_CANCELLED.get(state, state) if cancelled and cancelled == fields.get("attempt") else state

    def listing(self, run: str) -> RunListing | None:
        """The entry of a run, with its present state."""
        entry = self._entries.get(run)
        return entry.listing._replace(state=entry.state) if entry is not None else None

    def find(self, query: RunQuery) -> list[FoundRun]:
        """The runs that a query asks for, whatever its limit, the latest first."""
        for run in [run for run in self._entries if not self._fields_of(run)]:
            self._remove(run)
        found = [
            FoundRun(run, entry.state, entry.created) for run, entry in self._entries.items() if _fits(entry, query)
        ]
        return sorted(reversed(found), key=lambda one: one.created, reverse=True)

    def _remove(self, run: str) -> None:
        listing = self._entries.pop(run).listing
        if self._keys.get((listing.name, listing.key)) == run:
            del self._keys[listing.name, listing.key]


def _fits(entry: _Entry, query: RunQuery) -> bool:
    since, until = query.since, query.until
    return (
        entry.state in query.states
        and (since is None or entry.created >= since)
        and (until is None or entry.created < until)
        and set(query.terms) <= set(entry.listing.terms)
    )
