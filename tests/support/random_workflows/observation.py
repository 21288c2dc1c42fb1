"""What a run of a tree came to, as facts without ids: executions, lineage, states and values."""

import json
import re
import time
from collections import Counter
from itertools import pairwise

from tests.support.random_workflows.trees import Chain, Chord, Group, Leaf, Spread, leaves, parts

IDLE_WITHIN = 20.0


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


def _once(children):
    """Children without the groups that others contain: a Celery worker notes the group in which a member without a
    header ends by itself too (docs/explanation/differences.md)."""
    texts = [json.dumps(child) for child in children]
    groups = [child[1] is not None for child in children]
    return [
        child
        for place, child in enumerate(children)
        if not (groups[place] and any(texts[place] in text for text in texts[place + 1 :]))
    ]


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
        told = [_told(child) for child in (record or {}).get("children") or ()]
        if self._pair.worker == "celery":
            told = _once(told)
        return self._named(told)


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
