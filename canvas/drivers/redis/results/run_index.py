"""Queries of the index of runs (``scripts/library/runs.lua``): sorted sets of runs by state, name and label."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from canvas.drivers.redis.connection.client import RedisClient
from canvas.model import states
from canvas.model.run_index import CANCELLING, FoundRun, RunListing, RunQuery

_PAGE = 500
"""Entries that one command reads, at most."""

_MAY_WAIT = (states.PENDING, states.STARTED, CANCELLING, "UNLISTED")
"""The sets that have runs that may wait; the last one is of runs that are not listed, and do."""


def index_entry(listing: RunListing, created: float) -> list[Any]:
    """A run's entry, as the scripts keep it."""
    key = _name_and_key(listing.name, listing.key) if listing.key else ""
    return [created, listing.state, listing.terms, key]


def _name_and_key(name: str, key: str) -> str:
    return f"{name}\0{key}"


def page_of_several(
    page: Callable[[int, str], tuple[list[str], str]], count: int, cursor: str
) -> tuple[list[str], str]:  # fmt: skip
    """A page of ``count`` sources, one after the other, and the cursor of the next page, empty after the last one.

    ``page`` gives the same of one source, by its number and its own cursor, which is empty at first.
    """
    number, _, inside = cursor.partition("/")
    place = int(number or 0)
    found, inside = page(place, inside)
    place += not inside
    return found, f"{place}/{inside}" if place < count else ""


class RedisRunIndex:
    """Finds runs: of all sets that a query names, the smallest is read, and the others are asked for its members."""

    def __init__(self, link: RedisClient, prefix: str, run_key: Callable[[str], str]) -> None:
        """``prefix``: of the keys of the index; ``run_key`` gives the key of a run's hash."""
        self._link = link
        self._run_key = run_key
        self._prefix = prefix

    def find(self, query: RunQuery) -> list[FoundRun]:
        """See ``RunRecords.find_runs``."""
        self._unlist_expired()
        found: dict[str, FoundRun] = {}
        every = self._sets(query)
        if len(query.terms) < 2 and query.limit <= _PAGE:
            pages = self._at_once([_page(query, sets[0], query.limit) for _, sets in every])
            for (state, _), flat in zip(every, pages, strict=True):
                found |= {run.decode(): FoundRun(run.decode(), state, created) for run, created in _entries(flat)}
        else:
            for state, sets in every:
                members = self._members(query, sets)
                # A run that changes its state meanwhile is found twice; the states come in their order.
                found |= {run: FoundRun(run, state, created) for run, created in islice(members, query.limit)}
        latest = sorted(found.values(), key=lambda one: one.created, reverse=True)
        return latest[: query.limit]

    def count(self, query: RunQuery) -> int:
        """See ``RunRecords.count_runs``."""
        self._unlist_expired()
        every = self._sets(query)
        if len(query.terms) < 2:
            return sum(self._at_once([("ZCOUNT", sets[0], *_range(query)) for _, sets in every]))
        return len({run for _, sets in every for run, _ in self._members(query, sets)})

    def run_of_key(self, name: str, key: str) -> str | None:
        """See ``RunRecords.run_of_key``."""
        run = self._link.command("HGET", f"{self._prefix}:keys", _name_and_key(name, key))
        kept = run is not None and self._link.command("EXISTS", self._run_key(run.decode()))
        return run.decode() if kept else None

    def waiting_runs(self, seconds: float, cursor: str) -> tuple[list[str], str]:
        """Like ``RunRecords.waiting_runs``; a cursor is the number of a set, and a cursor of ZSCAN in it."""

        def page(place: int, inside: str) -> tuple[list[str], str]:
            words = [inside or "0", _PAGE, int(seconds * 1000)]
            after, found = self._link.call("waiting_runs", [f"{self._prefix}:{_MAY_WAIT[place]}"], words)
            return [run.decode() for run in found], "" if after == b"0" else after.decode()

        return page_of_several(page, len(_MAY_WAIT), cursor)

    def _unlist_expired(self) -> None:
        """Each run is removed once, by the start of another run or here."""
        while self._link.call("unlist_runs", [self._prefix], [_PAGE]) == _PAGE:
            continue

    def _at_once(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """The replies to commands that see the index at one moment: no run is in two states, or in none."""
        return self._link.pipeline(commands, transaction=True) if commands else []

    def _sets(self, query: RunQuery) -> list[tuple[str, list[str]]]:
        """For each state the sets whose common members the query asks for, the smallest first. A state that has no runs
        now may have one when it is read."""
        states = {state: f"{self._prefix}:{state}" for state in query.states}
        every = {state: [f"{base}:{term}" for term in query.terms] or [base] for state, base in states.items()}
        if len(query.terms) < 2:
            return list(every.items())
        keys = [key for sets in every.values() for key in sets]
        sizes = dict(zip(keys, self._link.pipeline([("ZCARD", key) for key in keys]), strict=True))
        return [(state, sorted(sets, key=sizes.__getitem__)) for state, sets in every.items()]

    def _members(self, query: RunQuery, sets: list[str]) -> Iterator[tuple[str, float]]:
        """The runs that are in all ``sets``, each with the time of its creation, the latest first."""
        _, highest = _range(query)
        skip = 0
        while True:
            entries = _entries(self._link.command(*_page(query, sets[0], _PAGE, highest, skip)))
            yield from ((run.decode(), created) for run, created in self._in_all(entries, sets[1:]))
            if len(entries) < _PAGE:
                return
            # The next page begins with this score; runs of it that were read already are left out.
            last = entries[-1][1]
            same = sum(created == last for _, created in entries)
            skip, highest = (skip + same if highest == repr(last) else same), repr(last)

    def _in_all(self, entries: list[tuple[bytes, float]], sets: list[str]) -> list[tuple[bytes, float]]:
        for key in sets:
            if not entries:
                break
            scores = self._link.command("ZMSCORE", key, *(run for run, _ in entries))
            entries = [entry for entry, score in zip(entries, scores, strict=True) if score is not None]
        return entries


def _range(query: RunQuery) -> tuple[str, str]:
    """The lowest and the highest score, as Redis takes them."""
    lowest = "-inf" if query.since is None else repr(query.since)
    return lowest, "+inf" if query.until is None else f"({query.until!r}"


def _page(query: RunQuery, key: str, size: int, highest: str | None = None, skip: int = 0) -> tuple[Any, ...]:
    """The command that reads ``size`` entries of a set, the latest first: from the score ``highest`` on, without the
    first ``skip``."""
    lowest, latest = _range(query)
    return ("ZRANGE", key, highest or latest, lowest, "BYSCORE", "REV", "LIMIT", skip, size, "WITHSCORES")


def _entries(flat: list[Any]) -> list[tuple[bytes, float]]:
    return [(run, float(score)) for run, score in zip(flat[::2], flat[1::2], strict=True)]
