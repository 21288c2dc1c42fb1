"""Writes trees as a client of canvas or of Celery does."""

import uuid

from tests.support.random_workflows.trees import Chain, Group, Leaf, Spread, ends_in_nothing, parts


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
    for number in range(0 if ends_in_nothing(tree) else tree.links):
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
