"""Every key in Redis, Celery's and ours (protocol.md §1.1, §5; docs/reference/keys.md)."""

from collections.abc import Mapping
from typing import Any

from canvas.drivers.priority import STEPS, step_of
from canvas.errors import ConfigurationError
from canvas.model.queue import OWN_QUEUE

SEP = "\x06\x16"
CHANNEL = "\0"
"""The first byte of a key that is the channel of a fanout exchange, in what scripts send messages to."""
_LISTS_KEPT = 1_024
"""Pairs of queue and priority whose list is kept."""


class BrokerKeys:
    """Keys of the broker's database, as kombu's transport options name them: ``global_keyprefix``, ``priority_steps``,
    ``sep``, ``unacked_key``, ``unacked_index_key``, ``unacked_mutex_key``, ``fanout_prefix``, ``fanout_patterns``.

    Raises ConfigurationError for an option of the wrong kind.
    """

    def __init__(self, options: Mapping[str, Any] | None = None, db: int = 0) -> None:
        options = options or {}
        self.prefix = prefix = str(options.get("global_keyprefix") or "")
        self.steps = _steps(options.get("priority_steps"))
        self._steps_of = [step_of(priority, self.steps) for priority in range(10)]
        self.lists: dict[tuple[str, int], str] = {}
        """The lists that ``list_of`` has found, by queue and priority."""
        self.sep = _text(options, "sep", SEP)
        self._fanout = _fanout_prefix(options.get("fanout_prefix", True), db)
        self._topics = bool(options.get("fanout_patterns", True))
        self.unacked = f"{prefix}{_text(options, 'unacked_key', 'unacked')}"
        self.unacked_index = f"{prefix}{_text(options, 'unacked_index_key', 'unacked_index')}"
        self.unacked_mutex = f"{prefix}{_text(options, 'unacked_mutex_key', 'unacked_mutex')}"
        self.delayed = f"{prefix}canvas:delayed"
        """zset id → due; entries go when they are enqueued."""
        self.delayed_messages = f"{prefix}canvas:delayed:messages"
        """hash id → list and payload; entries go when they are enqueued."""
        self.workers = f"{prefix}canvas:workers"
        """hash worker → lists it consumes; an entry goes when the worker is unregistered or recovered."""
        self.live_until = f"{prefix}canvas:workers:live_until"
        """zset worker → unix time at which its last heartbeat expires; an entry goes with the worker's registration."""
        self.silent_since = f"{prefix}canvas:workers:silent_since"
        """hash worker → unix time since which it has sent no heartbeat; an entry goes with its next heartbeat, or with
        the worker's registration."""
        self.recovered = f"{prefix}canvas:workers:recovered"
        """zset worker that was recovered, when, and its lists, JSON → when to check whether it holds anything again; an
        entry goes when it does, when the worker is back, or after a day."""
        self.own_bindings = f"{prefix}canvas:fanout"
        """hash queue of one node → its bindings; an entry goes when the node leaves or is reaped."""
        self.recovery_lock = f"{prefix}canvas:lock:recovery"
        """Lock with a TTL of seconds."""
        self.alive = f"{prefix}canvas:alive"
        """zset of chords that have not ended, by when they count as abandoned (unix time); entries go when a chord
        ends."""
        self.write_check = f"{prefix}canvas:write_check"
        """Never exists: named in a command that shows whether the server takes writes."""

    def step_of(self, priority: object) -> int:
        """The step that a message's priority falls into."""
        if isinstance(priority, int) and 0 <= priority <= 9:
            return self._steps_of[priority]
        return step_of(priority, self.steps)

    def queue_list(self, queue: str, step: int) -> str:
        """The list of a queue's priority step."""
        return f"{self.prefix}{queue}{self.sep}{step}" if step else f"{self.prefix}{queue}"

    def list_of(self, queue: str, priority: object) -> str:
        """The list of a queue for messages of a priority."""
        # A message that is sent on has the priority that its sender wrote, which may be of any type.
        place = (queue, priority if isinstance(priority, int) else self.step_of(priority))
        found = self.lists.get(place)
        if found is None:
            if len(self.lists) >= _LISTS_KEPT:
                self.lists.clear()
            found = self.lists[place] = self.queue_list(queue, self.step_of(priority))
        return found

    def queue_of(self, key: str) -> str:
        """The queue of a list."""
        whole = key.removeprefix(self.prefix)
        queue, _, step = whole.rpartition(self.sep)
        return queue if queue and step in map(str, self.steps) else whole

    def queue_lists(self, queue: str) -> list[str]:
        """All lists of a queue, most urgent first."""
        return [self.queue_list(queue, step) for step in self.steps]

    def binding(self, exchange: str) -> str:
        return f"{self.prefix}_kombu.binding.{exchange}"

    def permanent_binding(self, exchange: str) -> str:
        return f"{self.prefix}_kombu.binding_permanent.{exchange}"

    def channel(self, exchange: str, routing_key: str = "") -> str:
        """Where a fanout exchange publishes (protocol.md §1.8)."""
        topic = f"/{routing_key}" if routing_key and self._topics else ""
        return f"{self.prefix}{self._fanout}{exchange}{topic}"

    def fanout(self, exchange: str, routing_key: str) -> str:
        """The channel of a fanout exchange, with a mark: scripts publish the messages that are sent to it."""
        return f"{CHANNEL}{self.channel(exchange, routing_key)}"

    def is_own(self, key: str) -> bool:
        """Whether a list is that of one node."""
        return key.startswith(OWN_QUEUE, len(self.prefix))

    def heartbeat(self, worker: str) -> str:
        """Heartbeat: expires after the TTL of leases."""
        return f"{self.prefix}canvas:worker:{worker}:heartbeat"

    def leases(self, worker: str) -> str:
        """set of the tags that a worker holds; deleted with the worker's registration."""
        return f"{self.prefix}canvas:leases:{worker}"

    def early_acked(self, worker: str) -> str:
        """hash tag → record, as in unacked, of messages acked before their task ran, until it is settled."""
        return f"{self.prefix}canvas:early_acked:{worker}"

    @property
    def orphans(self) -> str:
        """zset of dead workers, by the time from which other workers may settle their orphans."""
        return f"{self.prefix}canvas:orphans:workers"

    @property
    def orphan_reasons(self) -> str:
        """hash tag of an orphan → why its process was killed, until the orphan is settled."""
        return f"{self.prefix}canvas:orphans:reasons"

    def redelivered_running(self, worker: str) -> str:
        """set of tags of messages that run and had been returned before; goes with the worker."""
        return f"{self.prefix}canvas:redelivered_running:{worker}"

    @property
    def revoked(self) -> str:
        """zset of revoked ids and stamps, by the time when they expire (unix time)."""
        return f"{self.prefix}canvas:revoked"

    @property
    def revoked_version(self) -> str:
        """counter of changes of the revocations."""
        return f"{self.prefix}canvas:revoked:version"

    def rate_limit(self, key: str) -> str:
        """When the next start of a rate-limited key is; expires then."""
        return f"{self.prefix}canvas:rate_limit:{key}"

    def permits(self, key: str) -> str:
        """set of the tags that run under a concurrency key; empty when none does."""
        return f"{self.prefix}canvas:concurrency:permits:{key}"

    def waiting_for_permit(self, key: str) -> str:
        """list of messages that wait for a permit of a concurrency key."""
        return f"{self.prefix}canvas:concurrency:waiting:{key}"

    @property
    def concurrency_limits(self) -> str:
        """hash concurrency key → its limit, of keys with blocked messages."""
        return f"{self.prefix}canvas:concurrency:limits"

    @property
    def no_chords(self) -> tuple[str, str]:
        """Keys under which scripts read and write nothing where the results are in another place: the hash and the
        sorted set of chords that are ready."""
        return f"{self.prefix}canvas:chords:ready", f"{self.prefix}canvas:chords:ready_since"

    @property
    def early_acked_prefix(self) -> str:
        """The prefix of the key ``early_acked`` of each worker."""
        return self.early_acked("")

    def schedule(self, name: str) -> str:
        """hash entry → msgpack [revision, token of the last write, state, definition], of periodic tasks; with ``:due``
        appended, the zset entry → when it is due. Entries go when they are removed."""
        return f"{self.prefix}canvas:schedule:{name}"

    def unique(self, key: str) -> str:
        """Lock of a unique task: the id of the one under way; expires after the task's ``unique_for``."""
        return f"{self.prefix}canvas:unique:{key}"

    def prefetched(self, worker: str, list_key: str) -> str:
        """list of messages that a wait has moved aside; they go when leased, returned, or recovered."""
        return f"{self.prefix}canvas:prefetched:{worker}:{list_key}"

    def dead_letters(self, queue: str) -> str:
        """list of dead letters, newest first, capped."""
        return f"{self.prefix}canvas:dead_letters:{queue}"

    def idempotency(self, guard: str) -> str:
        """Guard of calls that send: the last one's token; expires an hour after it."""
        return f"{self.prefix}canvas:idempotency:{guard}"

    def dispatched(self, group_id: str) -> str:
        """Guard of a chord's body where results are on another server; expires after a day."""
        return f"{self.prefix}canvas:chord:dispatched:{group_id}"


class ResultKeys:
    """Keys of the results' database. ``prefix`` is the result backend's ``global_keyprefix``."""

    def __init__(self, prefix: str = "", ordered: bool = True) -> None:
        """``ordered``: the result backend's ``result_chord_ordered``. If it is off, the parts of a chord are a list, in
        the order in which they came, and not a zset by their positions."""
        self.ordered = ordered
        if prefix and prefix[-1] not in ":_-.":
            prefix += "_"
        self.prefix = prefix
        self.ready = f"{prefix}canvas:chords:ready"
        """hash group → the callback of its chord; an entry goes when the chord's body is sent."""
        self.ready_since = f"{prefix}canvas:chords:ready_since"
        """zset group → since when it is ready."""

        self.unsized = f"{self.ready}:unsized"
        """hash group → the callback of its chord, of chords with parts whose size is unknown."""
        self.unsized_index = f"{self.ready}:unsized:index"
        """zset group → when its chord counts as lost (unix time)."""
        self.alive = f"{prefix}canvas:alive"
        """As the broker's, where that is another server."""
        self.write_check = f"{prefix}canvas:write_check"
        """As the broker's."""

    def task(self, task_id: str) -> str:
        """A task's record; also the channel it is announced on. With ``:success`` appended, the SHA-1 of a record that
        is a success and does not show it: one that is compressed or pickled. It lives as the record does."""
        return f"{self.prefix}celery-task-meta-{task_id}"

    def task_id(self, key: str) -> str:
        """The task of a record's key."""
        return key.removeprefix(self.task(""))

    def run(self, run: str) -> str:
        """hash of a workflow's run: its metadata, its attempt, its nodes in chunks, its mailboxes; expires like a
        result."""
        return f"{self.prefix}canvas:run:{run}"

    @property
    def runs(self) -> str:
        """The prefix of the keys of the index of runs (``library/runs.lua``): ``:listed``, hash run → its entry;
        ``:<state>`` and ``:<state>:<term>``, zset run → when it was created; ``:UNLISTED``, zset of runs that are
        not listed, and waited → since when; ``:until``, zset run → when it is looked whether it is kept; ``:looked``,
        hash of how far all runs of a state have been looked at; ``:keys``,
        hash of the keys of idempotent starts → run. Entries go a few at a time, when others begin and their run is not
        kept any more."""
        return f"{self.prefix}canvas:runs"

    def group(self, group_id: str) -> str:
        """A saved group; with ``.j .t .s .d .c`` appended, its chord (protocol.md §5.4)."""
        return f"{self.prefix}celery-taskset-meta-{group_id}"


def _steps(given: Any) -> tuple[int, ...]:
    if given is None:
        return STEPS
    steps = tuple(given) if isinstance(given, list | tuple | range) else ()
    if not steps or not all(isinstance(step, int) and 0 <= step <= 9 for step in steps):
        raise ConfigurationError(f"priority_steps: expected a list of numbers from 0 to 9; got {given!r:.100}")
    return steps


def _text(options: Mapping[str, Any], name: str, default: str) -> str:
    given = options.get(name, default)
    if not isinstance(given, str) or not given:
        raise ConfigurationError(f"{name}: expected text; got {given!r:.100}")
    return given


def _fanout_prefix(given: Any, db: int) -> str:
    if not given:
        return ""
    return (given if isinstance(given, str) else "/{db}.").format(db=db)
