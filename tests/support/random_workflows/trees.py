"""Random workflows as trees. Each leaf has a number, its position in the tree, which its task notes in the ledger:
so runs are comparable whose ids differ."""

from dataclasses import dataclass, field


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


def ends_in_nothing(tree):
    if isinstance(tree, Group):
        return all(map(ends_in_nothing, tree.members))
    if isinstance(tree, Chain):
        steps = [step for step in flat(tree.steps) if not isinstance(step, Group) or step.members]
        return not steps or ends_in_nothing(steps[-1])
    return isinstance(tree, Chord) and ends_in_nothing(tree.body)


def starts_with_chord(tree):
    if isinstance(tree, Chain):
        first, *rest = flat(tree.steps)
        return isinstance(first, Chord) or bool(rest and isinstance(first, Group)) or starts_with_chord(first)
    return any(map(starts_with_chord, tree.header if isinstance(tree, Chord) else parts(tree)))


def ends_in_chunks(tree):
    if isinstance(tree, Spread):
        return tree.kind == "chunks"
    if isinstance(tree, Chain):
        return ends_in_chunks(tree.steps[-1])
    if isinstance(tree, Group):
        return any(map(ends_in_chunks, tree.members))
    return isinstance(tree, Chord) and ends_in_chunks(tree.body)


def joins(tree):
    """The headers directly in a tree, each with what follows it."""
    if isinstance(tree, Chord):
        return [(tree.header, flat([tree.body]))]
    found = []
    steps = flat(tree.steps) if isinstance(tree, Chain) else []
    for place, step in enumerate(steps[:-1]):
        if isinstance(step, Group):
            found.append((step.members, steps[place + 1 :]))
        if isinstance(step, Chord):
            found.append((step.header, [*flat([step.body]), *steps[place + 1 :]]))
    return found


def flat(steps):
    return [unit for step in steps for unit in (flat(step.steps) if isinstance(step, Chain) else [step])]


def is_chord(units):
    return isinstance(units[0], Chord) or (isinstance(units[0], Group) and len(units) > 1)


def headers(tree):
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
