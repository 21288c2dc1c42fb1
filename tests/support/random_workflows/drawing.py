"""Strategies of Hypothesis that draw trees and calls."""

from dataclasses import replace

from hypothesis import strategies as st

from tests.support.random_workflows.celery_flaws import follows_chunks, hangs, repeats, replaces, silent
from tests.support.random_workflows.trees import Chain, Chord, Group, Leaf, Spread, flat

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
    return any(not isinstance(step, Group) or step.members for step in flat(chain.steps))


def _is_group(tree):
    """Whether nothing but one group is left of a tree, whose members Celery would number for themselves."""
    steps = [step for step in flat([tree]) if not isinstance(step, Group) or step.members]
    return not steps or (len(steps) == 1 and isinstance(steps[0], Group))
