"""Stamps: the same on every signature as Celery puts them, and seen by every worker."""

import random

import celery
import celery.canvas

import canvas
from canvas import StampingVisitor


def written(library, visitor_class, seed):
    """A random workflow, stamped by a random visitor; the same for each library."""
    draw = random.Random(seed)
    counted = iter(range(10_000))
    app = (celery.Celery if library is celery else canvas.Canvas)("x", broker="memory://", set_as_current=False)

    @app.task(name="t", shared=False)
    def t(*args):
        return args

    class Visitor(visitor_class):
        def _stamps(self, kind):
            found = {kind: next(counted)} if draw.random() < 0.7 else {}
            return {**found, "shared": kind} if draw.random() < 0.3 else found

        def on_signature(self, sig, **headers):
            return self._stamps("signature")

        def on_group_start(self, group, **headers):
            return self._stamps("members")

        def on_chain_start(self, chain, **headers):
            return self._stamps("steps")

        def on_chord_body(self, sig, **headers):
            return self._stamps("body")

        def on_callback(self, callback, **headers):
            return self._stamps("callback")

        def on_errback(self, errback, **headers):
            return self._stamps("errback")

    def node(depth):
        kind = draw.choice(["task", "task", "chain", "group", "chord"]) if depth else "task"
        if kind == "task":
            sig = t.s(next(counted))
            if draw.random() < 0.3:
                sig.link(t.s("link"))
            if draw.random() < 0.2:
                sig.link_error(t.s("errback"))
            return sig
        members = [node(depth - 1) for _ in range(draw.randint(2, 3))]
        if kind == "chord":
            return library.chord(members, node(depth - 1))
        return library.chain(*members) if kind == "chain" else library.group(members)

    flow = node(3)
    extra = {"extra": draw.choice([1, [2], "x"])} if draw.random() < 0.5 else {}
    flow.stamp(Visitor() if draw.random() < 0.8 else None, append_stamps=draw.random() < 0.5, **extra)
    return flow


def stamps(value):
    """The stamps of every signature below ``value``, as plain data."""
    if isinstance(value, dict) and "task" in value and "options" in value:
        options = value["options"]
        # Celery also lists names of stamps that only a neighbour has.
        names = sorted({name for name in options.get("stamped_headers") or () if name in options})
        own = {name: options[name] for name in names}
        return [
            value["task"],
            own,
            stamps(value["kwargs"]),
            stamps(options.get("link")),
            stamps(options.get("link_error")),
        ]
    if isinstance(value, dict):
        return {key: stamps(item) for key, item in value.items()}
    return [stamps(item) for item in value] if isinstance(value, (list, tuple)) else value


def test_the_same_as_celerys():
    for seed in range(400):
        ours = stamps(written(canvas, StampingVisitor, seed))
        assert ours == stamps(written(celery, celery.canvas.StampingVisitor, seed)), seed


def test_workers_see_them(pair):
    visitor = _visitor(pair)
    flow = pair.s("context") | pair.s("context")
    flow.stamp(visitor, release="7")
    result = flow.apply_async()
    assert result.get(timeout=30)["stamps"] == {"kind": "t.context", "release": "7"}
    assert result.parent.get(timeout=30)["stamps"] == {"kind": "t.context", "release": "7"}


def test_a_retry_keeps_them(pair):
    sig = pair.s("stamps_after_retry")
    sig.stamp(release="7")
    assert pair.run(sig) == {"release": "7"}


def test_a_replacement_keeps_them_on_our_worker(pair):
    sig = pair.s("swap", pair.s("context"))
    sig.stamp(release="7")
    assert pair.run(sig)["stamps"] == ({"release": "7"} if pair.worker == "canvas" else {})


def _visitor(pair):
    base = celery.canvas.StampingVisitor if pair.client == "celery" else StampingVisitor

    class Kind(base):
        def on_signature(self, sig, **headers):
            return {"kind": sig["task"]}

    return Kind()
