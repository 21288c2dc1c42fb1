"""Random workflows, written alike for canvas and Celery, and what one run of each comes to.

A workflow is a tree of :class:`Leaf`, :class:`Chain`, :class:`Group` and :class:`Chord`. Every leaf has a number
(its place in the tree), which its task notes in the ledger; that makes runs comparable whose ids differ.
"""

import json
import re
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise

import celery
from hypothesis import strategies as st

from tests.support.apps import make

IDLE_WITHIN = 20.0


@dataclass
class Leaf:
    """One task: ``own`` arguments of its own and a keyword, callbacks and errbacks that are tasks too."""

    own: int = 0
    keyword: bool = False
    immutable: bool = False
    fails: bool = False
    links: int = 0
    errback: bool = False
    options: dict = field(default_factory=dict)
    """Of the call; ``task_id`` is made anew for each run."""
    tag: int = field(default=-1, compare=False)


@dataclass
class Spread:
    """A call of ``map``, ``starmap`` or ``chunks``: a task for each of ``items`` items, the last of which may fail."""

    kind: str
    items: int
    fails: bool = False
    tag: int = field(default=-1, compare=False)


@dataclass
class Composite:
    """What a chain, group or chord has in common: callbacks, an errback, and ``set(immutable=True)``."""

    links: int = field(default=0, kw_only=True)
    errback: bool = field(default=False, kw_only=True)
    immutable: bool = field(default=False, kw_only=True)
    tag: int = field(default=-1, compare=False, kw_only=True)


@dataclass
class Chain(Composite):
    steps: list


@dataclass
class Group(Composite):
    members: list


@dataclass
class Chord(Composite):
    header: list
    body: object


def number(tree, start=0):
    """Give every leaf its number, and every composite its leaves'; the next free one."""
    tree.tag = start
    if isinstance(tree, Leaf | Spread):
        return start + 1
    for part in parts(tree):
        start = number(part, start)
    return start


def parts(tree):
    if isinstance(tree, Chain):
        return tree.steps
    if isinstance(tree, Group):
        return tree.members
    return [*tree.header, tree.body] if isinstance(tree, Chord) else []


def leaves(tree):
    if isinstance(tree, Leaf | Spread):
        return [tree]
    return [leaf for part in parts(tree) for leaf in leaves(part)]


def write(tree, pair, run):
    """The workflow as ``pair``'s client writes it."""
    if isinstance(tree, Leaf):
        return _task(tree, pair, run)
    if isinstance(tree, Spread):
        return _spread(tree, pair, run)
    return _decorated(tree, _composite(tree, pair, [write(part, pair, run) for part in parts(tree)]), pair, run)


def _composite(tree, pair, written):
    if isinstance(tree, Chain):
        return pair.lib.chain(*written)
    if isinstance(tree, Group):
        return pair.lib.group(written, app=pair.app)
    return pair.lib.chord(written[:-1], written[-1], app=pair.app)


def _decorated(tree, sig, pair, run):
    if tree.immutable:
        sig.set(immutable=True)
    # Nothing can be linked to a group without members, which Celery answers with IndexError.
    for number in range(0 if _ends_in_nothing(tree) else tree.links):
        sig.link(pair.s("step", tag=f"{_kind(tree)}{tree.tag}/link{number}", run=run))
    if tree.errback:
        sig.link_error(pair.s("step_failed", tag=f"{_kind(tree)}{tree.tag}/errback", run=run))
    return sig


def _kind(tree):
    return type(tree).__name__.lower()


def _spread(tree, pair, run):
    items = [[f"{tree.tag}.{n}", run, tree.fails and n == tree.items - 1] for n in range(tree.items)]
    task = pair.app.tasks["t.item"]
    if tree.kind == "map":
        return task.map(items)
    return task.starmap([[item] for item in items]) if tree.kind == "starmap" else task.chunks([[i] for i in items], 2)


def _task(leaf, pair, run):
    make = pair.si if leaf.immutable else pair.s
    more = {"keyword": "own"} if leaf.keyword else {}
    sig = make("step", *["own"] * leaf.own, tag=str(leaf.tag), run=run, fails=leaf.fails, **more)
    _with_options(sig, leaf.options)
    for number in range(leaf.links):
        sig.link(pair.s("step", tag=f"{leaf.tag}/link{number}", run=run))
    if leaf.errback:
        sig.link_error(pair.s("step_failed", tag=f"{leaf.tag}/errback", run=run))
    return sig


def _with_options(sig, drawn):
    drawn = dict(drawn)
    if drawn.pop("task_id", False):
        drawn["task_id"] = str(uuid.uuid4())
    stamp = drawn.pop("stamp", None)
    sig.set(**drawn)
    if stamp is not None:
        sig.stamp(mark=stamp)


# -- what a run came to


def settled(pair, run, at_least):
    """What ran, once nothing of the run waits or runs any more and at least so many executions are noted."""
    broker, ledger = pair.bench.broker, pair.bench.ledgers
    deadline = time.monotonic() + IDLE_WITHIN
    while True:
        noted = ledger.lrange(f"ledger:{run}", 0, -1)
        waiting = _waits(broker)
        if not waiting and len(noted) >= at_least and ledger.llen(f"ledger:{run}") == len(noted):
            return [json.loads(note) for note in noted]
        if time.monotonic() > deadline:
            return [json.loads(note) for note in noted]
        time.sleep(0.004)


def _here(result):
    """An EagerResult as the record that a worker would have stored."""
    value = result.result
    if isinstance(value, BaseException):
        module = "celery.exceptions" if type(value).__module__ == "canvas.errors" else type(value).__module__
        value = {"exc_type": type(value).__name__, "exc_message": list(value.args), "exc_module": module}
    return {"status": result.state, "result": value}


def _before(result):
    """The result's parent, but for groups of nothing, which some chords without a header have."""
    parent = result.parent
    while parent is not None and hasattr(parent, "results") and not parent.results:
        parent = parent.parent
    return parent


def _told(result):
    """A result in tuple form, its parents but for groups of nothing."""
    if result is None:
        return None
    (task_id, parent), members = result
    parent = _told(parent)
    while parent is not None and parent[1] == []:
        parent = parent[0][1]
    return [[task_id, parent], None if members is None else [_told(member) for member in members]]


def _waits(broker):
    """Whether any work is left: one look at both databases, between which work moves."""
    looks = broker.pipeline(transaction=True)
    for key in ("celery", *(f"celery\x06\x16{step}" for step in (3, 6, 9)), "unacked", "canvas:delayed"):
        looks.exists(key)
    looks.keys("canvas:prefetched:*")
    looks.execute_command("SELECT", 1)
    looks.exists("canvas:chords:ready")
    looks.execute_command("SELECT", 0)
    *before, _, ready, _ = looks.execute()
    return any(before) or bool(ready)


class Observation:
    """One run as facts without ids: executions, lineage, states and values."""

    def __init__(self, pair, tree, result, notes, eager=False):
        self._pair = pair
        self._eager = eager
        self._names = {note["id"]: note["tag"] for note in notes if note["id"] is not None}
        self._loose = _body_heads(tree)
        self.executions = Counter((note["tag"], self._named(note["args"])) for note in notes)
        notes = [note for note in notes if note["id"] is not None]  # but for items of a map
        self._first = {note["id"] for note in notes if note["parent"] is None}
        # A map notes its items, and not itself.
        self._one_root = len(self._first) == 1 and not any(isinstance(leaf, Spread) for leaf in leaves(tree))
        self.lineage = sorted({self._lineage(note) for note in notes})
        self.records = self._tree(result)
        self.children = sorted({(note["tag"], self._children(note["id"])) for note in notes})

    def facts(self):
        return {
            "executions": sorted(self.executions.items()),
            "lineage": self.lineage,
            "records": self.records,
            "children": self.children,
        }

    def _named(self, value):
        """``value`` as text, ids in it replaced by the numbers of their tasks."""
        return re.sub(
            r"[0-9a-f]{8}-[0-9a-f-]{27}", lambda found: self._names.get(found[0], "unknown"), json.dumps(value)
        )

    def _lineage(self, note):
        parent = self._names.get(note["parent"], note["parent"] and "unknown")
        if note["tag"] in self._loose:
            # Whichever header task ends last is the parent.
            parent = parent is not None
        # Where several tasks start the run, what follows a chord has the root of whichever ended last.
        root = self._names.get(note["root"]) if self._one_root else note["root"] is not None
        return note["tag"], str(parent), str(root), str(note["group_index"] or 0)

    def _tree(self, result):
        """The state and value of every result that a client can reach from the one it holds."""
        if result is None:
            return None
        before = self._tree(_before(result))
        if hasattr(result, "results"):
            return [[self._tree(child) for child in result.results], before]
        return self._record(result) if before is None else [self._record(result), before]

    def _record(self, result):
        record = _here(result) if self._eager else self._pair.record(result.id)
        return (
            "PENDING"
            if record is None or record["status"] == "PENDING"
            else f"{record['status']} {self._named(record['result'])}"
        )

    def _children(self, task_id):
        record = self._pair.record(task_id)
        return self._named([_told(child) for child in (record or {}).get("children") or ()])


def _body_heads(tree):
    """The numbers of leaves whose parent is whichever task of a group ends last."""
    found = set()
    if isinstance(tree, Chord):
        found |= set(_heads(tree.body))
    if isinstance(tree, Chain):
        for before, after in pairwise(tree.steps):
            if not isinstance(before, Leaf):
                found |= set(_heads(after))
    return found.union(*[_body_heads(part) for part in parts(tree)])


def _heads(tree):
    if isinstance(tree, Leaf | Spread):
        return [str(tree.tag)]
    if isinstance(tree, Chain):
        return _heads(tree.steps[0])
    return [tag for part in (tree.members if isinstance(tree, Group) else tree.header) for tag in _heads(part)]


def agree(ours, theirs):
    """Whether two results are the same, but for what a Celery worker leaves PENDING and canvas ends."""
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(agree, ours, theirs))
    return ours == theirs or (theirs == "PENDING" and str(ours).startswith("FAILURE"))


# -- what Celery does otherwise (docs/explanation/differences.md)


class _Celery:
    """Writes workflows as a client of Celery does, without a server."""

    def __init__(self):
        self.lib = celery
        self.app = make("celery", "memory://", "cache+memory://")

    def s(self, name, *args, **kwargs):
        return self.app.tasks[f"t.{name}"].s(*args, **kwargs)

    def si(self, name, *args, **kwargs):
        return self.app.tasks[f"t.{name}"].si(*args, **kwargs)


_as_celery = cache(_Celery)


def repeats(tree):
    """Celery runs what follows a group that something other than a group's own members leads to (the body of a chord,
    a second group) once for each member of that group: where its own signature has such a group in a chain."""
    return _repeats(write(tree, _as_celery(), "run"))


def _repeats(sig):
    steps = _steps_of(sig)
    for at, (before, _) in enumerate(pairwise(steps)):
        kind = before.subtask_type
        two = kind == "group" and steps[at + 1].subtask_type == "group" and len(steps) > at + 2
        if two or (kind == "chord" and _gives_a_group(before)):
            return True
    return any(map(_repeats, [part for step in steps for part in _parts_of(step)]))


def _steps_of(sig):
    """A signature as Celery's chain takes it: chains in it spliced, groups of one their member, empty groups left out."""
    if sig.subtask_type == "group" and len(sig.tasks) == 1:
        return _steps_of(sig.tasks[0])
    if sig.subtask_type == "group" and not sig.tasks:
        return []
    return [unit for step in sig.tasks for unit in _steps_of(step)] if sig.subtask_type == "chain" else [sig]


def _parts_of(sig):
    if sig.subtask_type == "group":
        return list(sig.tasks)
    header = sig.tasks.tasks if hasattr(sig, "body") and hasattr(sig.tasks, "tasks") else getattr(sig, "tasks", ())
    return [*header, sig.body] if sig.subtask_type == "chord" else []


def _gives_a_group(sig):
    """Whether it ends in a group, with members or without: something that follows is each member's."""
    if sig.subtask_type == "chain":
        return bool(sig.tasks) and _gives_a_group(sig.tasks[-1])
    if sig.subtask_type == "chord":
        return _gives_a_group(sig.body)
    return sig.subtask_type == "group" and len(sig.tasks) != 1


def waits_for_nothing(tree):
    """Celery waits for ever for a header whose members all end in groups of nothing."""
    headers = [header for header, _ in _joins(tree) if header] if not isinstance(tree, Leaf) else []
    return any(all(map(_ends_in_nothing, header)) for header in headers) or any(map(waits_for_nothing, parts(tree)))


def _ends_in_nothing(tree):
    if isinstance(tree, Group):
        return all(map(_ends_in_nothing, tree.members))
    if isinstance(tree, Chain):
        steps = [step for step in _flat(tree.steps) if not isinstance(step, Group) or step.members]
        return not steps or _ends_in_nothing(steps[-1])
    return isinstance(tree, Chord) and _ends_in_nothing(tree.body)


def waits_for_ignored(tree):
    """A thread of a Celery worker waits in vain for a member of a header's inner group that ignores its result."""
    headers = [header for header, _ in _joins(tree)] if not isinstance(tree, Leaf) else []
    inner = [part for header in headers for part in header if not isinstance(part, Leaf)]
    ignored = any(isinstance(one, Leaf) and one.options.get("ignore_result") for part in inner for one in leaves(part))
    return ignored or any(map(waits_for_ignored, parts(tree)))


def hangs(tree, inside=False):
    """In Celery a chord waits for ever when in its header another chord's header fails."""
    for header, rest in _headers(tree):
        if inside and any(leaf.fails for part in header for leaf in leaves(part)):
            return True
        if any(hangs(part, True) for part in header) or any(hangs(part, inside) for part in rest):
            return True
    return False


def loses(tree, call):
    """Celery loses the keyword arguments of a call of a chain that starts with a chord."""
    return bool(call.get("kwargs")) and _starts_with_chord(tree)


def _starts_with_chord(tree):
    if isinstance(tree, Chain):
        first, *rest = _flat(tree.steps)
        return isinstance(first, Chord) or bool(rest and isinstance(first, Group)) or _starts_with_chord(first)
    return any(map(_starts_with_chord, tree.header if isinstance(tree, Chord) else parts(tree)))


def follows_chunks(tree):
    """In Celery a step or callback fails that follows chunks: their group's result cannot be sent to it."""
    steps = _flat(tree.steps) if isinstance(tree, Chain) else []
    if any(_ends_in_chunks(step) for step in steps[:-1]):
        return True
    if isinstance(tree, Composite) and tree.links and _ends_in_chunks(tree):
        return True
    return any(map(follows_chunks, parts(tree)))


def _ends_in_chunks(tree):
    if isinstance(tree, Spread):
        return tree.kind == "chunks"
    if isinstance(tree, Chain):
        return _ends_in_chunks(tree.steps[-1])
    if isinstance(tree, Group):
        return any(map(_ends_in_chunks, tree.members))
    return isinstance(tree, Chord) and _ends_in_chunks(tree.body)


def replaces(tree):
    """In Celery the callbacks of a chain that ends in a group replace those of the group's members."""
    if isinstance(tree, Chain) and tree.links and _gives_a_group(write(tree, _as_celery(), "run")):
        return True
    return any(map(replaces, parts(tree)))


def silent(tree, around=False):
    """Celery calls no errback of a body that is a chord itself when the header fails; and where that chord's header
    fails, none of its own body if this is a chain. ``around``: whether a composite around has an errback, which is the
    body's as well."""
    around = around or (isinstance(tree, Composite) and tree.errback)
    for header, body in _joins(tree):
        called = around or any(map(_with_errback, body)) or any(one.errback for one in _chains_in(tree))
        if called and _is_chord(body) and (_fails(header) or _fails_before_a_chain(body)):
            return True
    return any(silent(part, around) for part in parts(tree))


def _chains_in(tree):
    """The chains that are steps of a chain, at any depth."""
    own = [step for step in tree.steps if isinstance(step, Chain)] if isinstance(tree, Chain) else []
    return own + [one for step in own for one in _chains_in(step)]


def _fails(header):
    return any(leaf.fails for part in header for leaf in leaves(part))


def _fails_before_a_chain(units):
    """Whether the header of the chord with which these units start fails, and a chain is its body."""
    first, *rest = units
    body = rest if isinstance(first, Group) else [*_flat([first.body]), *rest]
    return len(body) > 1 and _fails(first.members if isinstance(first, Group) else first.header)


def _with_errback(tree):
    """The tasks and composites of a tree that have an errback of their own."""
    own = [] if isinstance(tree, Spread) or not tree.errback else [tree]
    return own + [one for part in parts(tree) for one in _with_errback(part)]


def _joins(tree):
    """The headers directly in a tree, each with what follows it."""
    if isinstance(tree, Chord):
        return [(tree.header, _flat([tree.body]))]
    found = []
    steps = _flat(tree.steps) if isinstance(tree, Chain) else []
    for place, step in enumerate(steps[:-1]):
        if isinstance(step, Group):
            found.append((step.members, steps[place + 1 :]))
        if isinstance(step, Chord):
            found.append((step.header, [*_flat([step.body]), *steps[place + 1 :]]))
    return found


def _flat(steps):
    return [unit for step in steps for unit in (_flat(step.steps) if isinstance(step, Chain) else [step])]


def _is_chord(units):
    return isinstance(units[0], Chord) or (isinstance(units[0], Group) and len(units) > 1)


def _headers(tree):
    """The headers directly in a tree, written as chords or as a group with a step after it; and what else is there."""
    if isinstance(tree, Chord):
        return [(tree.header, [tree.body])]
    if isinstance(tree, Chain):
        last = len(tree.steps) - 1
        return [
            (step.members, []) if isinstance(step, Group) and place < last else ([], [step])
            for place, step in enumerate(tree.steps)
        ]
    return [([], tree.members)] if isinstance(tree, Group) else []


# -- drawing

calls = st.fixed_dictionaries(
    {},
    optional={
        "args": st.lists(st.sampled_from(["first", "second"]), max_size=2),
        "kwargs": st.dictionaries(st.sampled_from(["keyword", "other"]), st.just("given"), max_size=2),
    },
)
"""What ``apply_async`` is called with."""

options = st.fixed_dictionaries(
    {},
    optional={
        "countdown": st.just(0),
        "priority": st.sampled_from([0, 3, 9]),
        "expires": st.just(3600),
        "queue": st.just("celery"),
        "ignore_result": st.booleans(),
        "task_id": st.just(True),
        "stamp": st.sampled_from(["one", "other"]),
        "shadow": st.just("shown"),
        "time_limit": st.just(60),
    },
)
"""Options of a call that change nothing of what it comes to, but for ``ignore_result``."""

leaf = st.builds(
    Leaf,
    own=st.integers(0, 1),
    keyword=st.booleans(),
    immutable=st.booleans(),
    links=st.sampled_from([0, 0, 0, 1, 2]),
)


def workflows(failing=False, decorated=False, optioned=False):
    """Trees up to four levels deep; with ``failing``, tasks fail and have errbacks; with ``decorated``, composites have
    callbacks, errbacks and flags too, and there are maps; with ``optioned``, tasks are called with options."""
    task = leaf
    if failing:
        task = st.builds(
            Leaf,
            own=st.integers(0, 1),
            keyword=st.booleans(),
            immutable=st.booleans(),
            fails=st.sampled_from([False, False, True]),
            links=st.sampled_from([0, 0, 1]),
            errback=st.booleans(),
        )
    if optioned:
        task = st.builds(lambda one, given: replace(one, options=given), task, options)
    extras = {}
    if decorated:
        # Of a map without items nothing is noted: no test could say when its run is over.
        fails = st.sampled_from([False, False, True]) if failing else st.just(False)
        kinds = ["map", "starmap"] if failing else ["map", "starmap", "chunks"]
        spread = st.builds(Spread, st.sampled_from(kinds), st.integers(1, 3), fails)
        task = st.one_of(task, task, task, spread)
        extras = {"links": st.sampled_from([0, 0, 1]), "immutable": st.sampled_from([False, False, False, True])}
        if failing:
            extras["errback"] = st.booleans()
    trees = st.recursive(task, lambda inner: _composites(inner, extras), max_leaves=10)
    return trees.filter(
        lambda tree: not (repeats(tree) or hangs(tree) or silent(tree) or replaces(tree) or follows_chunks(tree))
    )


def _composites(inner, extras):
    member = inner.filter(lambda tree: not _is_group(tree))
    return st.one_of(
        st.builds(Chain, st.lists(inner, min_size=2, max_size=4), **extras).filter(_is_something),
        st.builds(Group, st.lists(member, max_size=5), **extras),
        st.builds(Chord, st.lists(member, max_size=5), inner, **extras),
    )


def _is_something(chain):
    """A chain of groups of nothing is no workflow: both libraries drop it, or refuse it as a body."""
    return any(not isinstance(step, Group) or step.members for step in _flat(chain.steps))


def _is_group(tree):
    """Whether nothing but one group is left of a tree, whose members Celery would number for themselves."""
    steps = [step for step in _flat([tree]) if not isinstance(step, Group) or step.members]
    return not steps or (len(steps) == 1 and isinstance(steps[0], Group))
