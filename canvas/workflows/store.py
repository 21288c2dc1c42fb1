"""Runs of workflows in the result backend: the metadata of each, and its nodes in chunks."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from canvas.config.lifetimes import RunLifetimes
from canvas.errors import BrokerError, DecodeError, RunLost
from canvas.model.ids import new_id
from canvas.model.settlement import ReadyChord, RunWrite
from canvas.model.workflow_run import RunNode
from canvas.wire import codecs
from canvas.wire.run_compression import NODES_PER_CHUNK, deflate, encoded_chunks, inflate
from canvas.wire.signing import UNSIGNED, Signer

if TYPE_CHECKING:
    from canvas.drivers.ports.runs import RunRecords
    from canvas.model.run_index import FoundRun, RunQuery

_METADATA = ("about", "attempt", "cancelled")
"""The fields of a run that ``metadata`` reads."""
_DEFINITION = (*_METADATA, "0.0")
_CHUNKS_CACHED = 256
_UNCHANGING = 64
_SETTLED_AFTER = 2.0
"""Seconds after a run's end in which the settlements that were under way are stored, as a rule."""
_LOOKS = 30
"""How often a process checks whether a run's end is stored. A settlement may wait for a server that is unreachable."""
_ENDED = 10_000
"""Ended runs kept for these checks, at most: a client that starts runs without a task never checks."""
T = TypeVar("T")


class _Unstored:
    """An attempt that is not stored yet: its first step reads it from here."""

    __slots__ = ("__weakref__", "about", "attempt", "nodes")

    def __init__(self, attempt: int, nodes: Sequence[RunNode], about: dict[str, Any]) -> None:
        self.attempt = attempt
        self.nodes = nodes
        self.about = about


def call_once(call: Callable[[], T]) -> T:
    """Make a call once: a ``persist`` that repeats nothing."""
    return call()


class RunStore:
    """Reads and writes runs. Nodes that were read stay in memory for a while, because they never change."""

    def __init__(
        self, results: "RunRecords | None", serializer: str, lifetimes: RunLifetimes,
        persist: Callable[[Callable[[], Any]], Any], signer: Signer = UNSIGNED,
    ) -> None:  # fmt: skip
        """``persist`` makes each call to a server, and may repeat it."""
        self._driver = results
        self._serializer = serializer
        self.lifetimes = lifetimes
        self.persist = persist
        self._signer = signer
        self._unstored: WeakValueDictionary[str, _Unstored] = WeakValueDictionary()
        self._chunks: OrderedDict[tuple[str, int, int], list[RunNode]] = OrderedDict()
        self._unchanging: OrderedDict[str, Any] = OrderedDict()
        self._abouts: OrderedDict[str, tuple[bytes, dict[str, Any]]] = OrderedDict()
        self._over: deque[tuple[float, str, int, int]] = deque(maxlen=_ENDED)

    @property
    def _results(self) -> "RunRecords":
        if self._driver is None:
            from canvas.drivers.ports.capabilities import missing  # imported late: only for an error

            raise missing("runs")
        return self._driver

    @property
    def _alive(self) -> int | None:
        return self.lifetimes.alive or None

    def new_inside(self, run: str, about: dict[str, Any], nodes: Sequence[RunNode]) -> RunWrite:
        """A run inside of another one, with the nodes of its first attempt, for the settlement that starts it."""
        return RunWrite(run, self._new_fields(run, about, nodes), self.lifetimes.alive)

    def save(self, run: str, about: dict[str, Any], nodes: Sequence[RunNode], start: ReadyChord | None = None) -> str:
        """Keep a new run and the nodes of its first attempt, with the ready chord that starts it; returns the id of the
        run: another one's, if that one has the same key, and then nothing is kept."""
        from canvas.workflows.labels import run_listing  # imported late: programs that start no workflow do without

        fields, listing, now = self._new_fields(run, about, nodes), run_listing(about), time.time()
        return str(self.persist(lambda: self._results.save_run(run, fields, self._alive, now, listing, start)))

    def begin_attempt(
        self, run: str, attempt: int, about: dict[str, Any], nodes: Sequence[RunNode], start: ReadyChord | None,
        cancelled: bool = False, unless: str = "",
    ) -> bool:  # fmt: skip
        """Store the next attempt of a run, with the ready chord that starts it; False when it has begun already, or the
        attempt before has the mark ``unless`` (see ``mark``). ``cancelled``: it is cancelled from its start on."""
        from canvas.drivers.ports.runs import NewAttempt  # imported late: programs that begin no attempt do without
        from canvas.workflows.labels import run_listing

        marks = {"cancelled": str(attempt + 1).encode()} if cancelled else {}
        fields = {"about": self._encode(run, about), **marks, **self._encoded(run, attempt + 1, nodes)}
        new = NewAttempt(attempt, fields, self._alive, start, run_listing(about).state, unless, new_id())
        return bool(self.persist(lambda: self._results.begin_attempt(run, new)))

    def mark(self, run: str, attempt: int, *names: str) -> bool:
        """Note that an attempt is ``cancelled``, and that it was ``overdue``, or that its nodes are ``undone``; False,
        and nothing is noted, when it is not the latest one."""
        fields = dict.fromkeys(names, str(attempt).encode())
        return bool(self.persist(lambda: self._results.mark_attempt(run, attempt, fields)))

    def outlive(self, run: str, task_ids: Sequence[str]) -> None:
        """Keep a run, and these records, as long as a run that has not ended."""
        lasting = self.lifetimes
        self.persist(lambda: self._results.expire_run(run, lasting.alive, task_ids, lasting.alive))

    def ended(self, run: str, attempt: int, looks: int = _LOOKS) -> None:
        """Note that the end of an attempt is about to be stored: ``over`` gives it up to ``looks`` times until it
        is."""
        if looks > 0:
            self._over.append((time.monotonic(), run, attempt, looks))

    def over(self) -> Iterator[tuple[str, int, int]]:
        """Runs whose end should be stored by now, each with its attempt and how many looks are left; each once."""
        for _ in range(len(self._over)):
            if time.monotonic() - self._over[0][0] < _SETTLED_AFTER:
                return
            yield self._over.popleft()[1:]

    def expire(self, run: str, task_ids: Sequence[str], latest: tuple[str, int]) -> None:
        """Let a run, and these records, expire as a run that has ended; ``latest``: see ``expire_run``."""
        lasting = self.lifetimes
        self.persist(lambda: self._results.expire_run(run, lasting.run, task_ids, lasting.records, latest))

    def know_unstored(
        self, run: str, attempt: int, nodes: Sequence[RunNode], about: dict[str, Any], certain: bool = True
    ) -> object:
        """Read an attempt of a run that is not stored yet as if it were, as long as the returned object lives.
        ``certain``: no other process can store other nodes of it, so that these may stay in memory afterwards."""
        known = self._unstored[run] = _Unstored(attempt, nodes, about)
        for place, first in enumerate(range(0, len(nodes), NODES_PER_CHUNK) if certain else ()):
            self._cache((run, attempt, place), list(nodes[first : first + NODES_PER_CHUNK]))
        return known

    def metadata(self, run: str, fields: Sequence[bytes | None] = ()) -> tuple[dict[str, Any], int]:
        """The run's metadata, with ``cancelled`` for the latest attempt, and that attempt's number; ``fields``: from
        ``definitions``. Raises RunLost."""
        return self._metadata(run, fields[:3] or self.persist(lambda: self._results.read_run(run, _METADATA)))

    def definition(self, run: str, fields: Sequence[bytes | None] = ()) -> tuple[dict[str, Any], int, list[RunNode]]:
        """``metadata``, and the nodes of the first attempt; ``fields``: from ``definitions``. Raises RunLost."""
        *found, chunk = fields or self.persist(lambda: self._results.read_run(run, _DEFINITION))
        about, attempt = self._metadata(run, found)
        if chunk is None or about["nodes"] > NODES_PER_CHUNK:
            return about, attempt, self.nodes(run, 0, about["nodes"])
        return about, attempt, list(self._chunk(run, 0, 0, chunk))

    def definitions(self, runs: Sequence[str], names: Sequence[str] = _DEFINITION) -> list[list[bytes | None]]:
        """The fields that ``definition`` reads, or those of these ``names``, of each of these runs."""
        return list(self.persist(lambda: self._results.read_runs(runs, names))) if runs else []

    def _metadata(self, run: str, found: Sequence[bytes | None]) -> tuple[dict[str, Any], int]:
        about, attempt, cancelled = found
        if about is None or attempt is None:
            known = self._unstored.get(run)
            if known is not None:
                return {**known.about, "cancelled": False}, known.attempt
            raise RunLost(f"there is no run {run!r}: it never existed, or it has expired (workflow_run_expires)")
        read, decoded = self._abouts.get(run, (None, {}))
        if read != about:  # it grows with the run, and seldom changes
            decoded = self._decode(f"run {run}", about)
            self._abouts[run] = about, decoded
            while len(self._abouts) > _UNCHANGING:
                self._abouts.popitem(last=False)
        return {**decoded, "cancelled": cancelled == attempt}, int(attempt)

    def is_overdue(self, run: str, attempt: int) -> bool:
        """Whether an attempt was cancelled because its time was over."""
        return bool(self.persist(lambda: self._results.read_run(run, ["overdue"])) == [str(attempt).encode()])

    def node(self, run: str, attempt: int, number: int) -> RunNode:
        """One node. Raises RunLost."""
        known = self._unstored.get(run)
        if known is not None and known.attempt == attempt:
            return known.nodes[number]
        chunk = number // NODES_PER_CHUNK
        try:
            nodes = self._chunks[run, attempt, chunk]
        except KeyError:
            nodes = self._load(run, attempt, [chunk])
        try:
            return nodes[number % NODES_PER_CHUNK]
        except IndexError:
            raise RunLost(f"run {run} has no node {number}") from None

    def read_ahead(self, chunks: Collection[tuple[str, int, int]]) -> None:
        """Read chunks of several runs together (run, attempt and place of each), as far as they are not in memory.
        Nodes that cannot be read now are read again, and the error is reported, when they are needed."""
        wanted: dict[tuple[int, int], list[str]] = {}
        for run, attempt, chunk in chunks:
            if (run, attempt, chunk) not in self._chunks and run not in self._unstored:
                wanted.setdefault((attempt, chunk), []).append(run)
        with suppress(BrokerError):
            for (attempt, chunk), runs in wanted.items():
                for run, (kept,) in zip(runs, self._results.read_runs(runs, [f"{attempt}.{chunk}"]), strict=True):
                    with suppress(DecodeError):
                        kept is None or self._chunk(run, attempt, chunk, kept)

    def nodes(self, run: str, attempt: int, count: int) -> list[RunNode]:
        """All ``count`` nodes of an attempt. Raises RunLost."""
        known = self._unstored.get(run)
        if known is not None and known.attempt == attempt:
            return list(known.nodes)
        return self._load(run, attempt, range(-(-count // NODES_PER_CHUNK)))

    def find(self, query: "RunQuery") -> "list[FoundRun]":
        """The runs that a query asks for, as they are listed, the latest first."""
        return list(self.persist(lambda: self._results.find_runs(query)))

    def count(self, query: "RunQuery") -> int:
        """The number of runs that a query asks for, as they are listed."""
        return int(self.persist(lambda: self._results.count_runs(query)))

    def run_of_key(self, name: str, key: str) -> str | None:
        """The id of the run of a workflow that was started under this key, if it is kept."""
        return self.persist(lambda: self._results.run_of_key(name, key))  # type: ignore[no-any-return]

    def waiting(self, seconds: float, cursor: str) -> tuple[list[str], str]:
        """See ``RunRecords.waiting_runs``."""
        return tuple(self.persist(lambda: self._results.waiting_runs(seconds, cursor)))

    def list_as(self, run: str, state: str, before: str) -> None:
        """List a run under another state, if it is listed under the state ``before``."""
        self.persist(lambda: self._results.list_run_as(run, state, before))

    def _load(self, run: str, attempt: int, chunks: Sequence[int]) -> list[RunNode]:
        names = [f"{attempt}.{chunk}" for chunk in chunks]
        loaded: list[RunNode] = []
        for chunk, kept in zip(chunks, self.persist(lambda: self._results.read_run(run, names)), strict=True):
            if kept is None:
                raise RunLost(f"the nodes of run {run} are gone: it has expired (workflow_run_expires)")
            loaded += self._chunk(run, attempt, chunk, kept)
        return loaded

    def _chunk(self, run: str, attempt: int, chunk: int, kept: bytes) -> list[RunNode]:
        nodes = [RunNode.from_list(one) for one in self._decode(f"chunk {attempt}.{chunk} of run {run}", kept)]
        self._cache((run, attempt, chunk), nodes)
        return nodes

    def _cache(self, chunk: tuple[str, int, int], nodes: list[RunNode]) -> None:
        self._chunks[chunk] = nodes
        while len(self._chunks) > _CHUNKS_CACHED:
            self._chunks.popitem(last=False)

    def unchanging(self, name: str, read: Callable[[], T]) -> T:
        """A value that never changes once it is there; ``read`` is called where this process has not read it lately."""
        if name in self._unchanging:
            return self._unchanging[name]  # type: ignore[no-any-return]
        found = self.persist(read)
        if found is not None:
            self._unchanging[name] = found
            while len(self._unchanging) > _UNCHANGING:
                self._unchanging.popitem(last=False)
        return found  # type: ignore[no-any-return]

    def mail(self, run: str) -> dict[str, list[bytes]]:
        """The values that wait in the run's mailboxes, by mailbox."""
        return dict(self.persist(lambda: self._results.read_mail(run)))

    def took_mail(self, run: str, mailbox: str, id: str) -> bool:
        """Whether a value with this id was brought to the run's mailbox."""
        return bool(self.persist(lambda: self._results.took_mail(run, mailbox, id)))

    def _new_fields(self, run: str, about: dict[str, Any], nodes: Sequence[RunNode]) -> dict[str, bytes]:
        return {"about": self._encode(run, about), "attempt": b"0", **self._encoded(run, 0, nodes)}

    def _encoded(self, run: str, attempt: int, nodes: Sequence[RunNode]) -> dict[str, bytes]:
        return {
            f"{attempt}.{place}": self._signer.seal(f"chunk {attempt}.{place} of run {run}", deflate(chunk))
            for place, chunk in enumerate(encoded_chunks(nodes, self._serializer))
        }

    def _encode(self, run: str, about: dict[str, Any]) -> bytes:
        return self._signer.seal(f"run {run}", deflate(codecs.encode(about, self._serializer)[2]))

    def _decode(self, place: str, kept: bytes) -> Any:
        """Raises SignatureError, DecodeError."""
        kept = inflate(self._signer.open(place, kept))
        return codecs.decode(kept, codecs.named(self._serializer).content_type, accept={self._serializer})
