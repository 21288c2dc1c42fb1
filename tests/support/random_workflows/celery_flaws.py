"""Trees that Celery runs otherwise than canvas (docs/explanation/differences.md)."""

from functools import cache
from itertools import pairwise

import celery

from tests.support.apps import make
from tests.support.random_workflows.trees import (
    Chain,
    Composite,
    Group,
    Leaf,
    Spread,
    ends_in_chunks,
    ends_in_nothing,
    flat,
    headers,
    is_chord,
    joins,
    leaves,
    parts,
    starts_with_chord,
)
from tests.support.random_workflows.writing import write


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
    headers = [header for header, _ in joins(tree) if header] if not isinstance(tree, Leaf) else []
    return any(all(map(ends_in_nothing, header)) for header in headers) or any(map(waits_for_nothing, parts(tree)))


def waits_for_ignored(tree):
    """A thread of a Celery worker waits in vain for a member of a header's inner group that ignores its result."""
    headers = [header for header, _ in joins(tree)] if not isinstance(tree, Leaf) else []
    inner = [part for header in headers for part in header if not isinstance(part, Leaf)]
    ignored = any(isinstance(one, Leaf) and one.options.get("ignore_result") for part in inner for one in leaves(part))
    return ignored or any(map(waits_for_ignored, parts(tree)))


def hangs(tree, inside=False):
    """In Celery a chord waits for ever when in its header another chord's header fails."""
    for header, rest in headers(tree):
        if inside and any(leaf.fails for part in header for leaf in leaves(part)):
            return True
        if any(hangs(part, True) for part in header) or any(hangs(part, inside) for part in rest):
            return True
    return False


def loses(tree, call):
    """Celery loses the keyword arguments of a call of a chain that starts with a chord."""
    return bool(call.get("kwargs")) and starts_with_chord(tree)


def follows_chunks(tree):
    """In Celery a step or callback fails that follows chunks: their group's result cannot be sent to it."""
    steps = flat(tree.steps) if isinstance(tree, Chain) else []
    if any(ends_in_chunks(step) for step in steps[:-1]):
        return True
    if isinstance(tree, Composite) and tree.links and ends_in_chunks(tree):
        return True
    return any(map(follows_chunks, parts(tree)))


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
    for header, body in joins(tree):
        called = around or any(map(_with_errback, body)) or any(one.errback for one in _chains_in(tree))
        if called and is_chord(body) and (_fails(header) or _fails_before_a_chain(body)):
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
    body = rest if isinstance(first, Group) else [*flat([first.body]), *rest]
    return len(body) > 1 and _fails(first.members if isinstance(first, Group) else first.header)


def _with_errback(tree):
    """The tasks and composites of a tree that have an errback of their own."""
    own = [] if isinstance(tree, Spread) or not tree.errback else [tree]
    return own + [one for part in parts(tree) for one in _with_errback(part)]
