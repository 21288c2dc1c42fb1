"""Which id the result of a chain has, when the chain and its last step are given different ones: the step's own."""

import celery
import pytest

import canvas

SENT = {
    "a call": lambda sig, first: sig.apply_async(task_id="given"),
    "an option": lambda sig, first: sig.set(task_id="given").apply_async(),
    "a freeze": lambda sig, first: sig.freeze("given"),
}
NESTED = {"a chain in a chain": lambda sig, first: (first | sig.set(task_id="given")).apply_async()}
EAGER = {
    "an eager call": lambda sig, first: sig.apply(task_id="given"),
    "an eager option": lambda sig, first: sig.set(task_id="given").apply(),
}


def ids(way, ends_in, own):
    """The result's id with each library."""
    found = []
    for library, app in ((celery, celery.Celery("x", broker="memory://")), (canvas, canvas.Canvas(broker="memory://"))):

        @app.task(name="t", shared=False)
        def t(*args):
            return args

        last = {"task": t.s, "group": lambda: library.group(t.s(), t.s()), "map": lambda: t.map([1])}[ends_in]()  # noqa: B023
        if own:
            last.set(task_id="own")
        found.append(way(library.chain(t.s(), last), t.s()).id)
    return found


@pytest.mark.parametrize("ends_in", ["task", "group", "map"])
@pytest.mark.parametrize("way", {**SENT, **NESTED})
def test_the_last_steps_own_id_comes_first(way, ends_in):
    assert ids({**SENT, **NESTED}[way], ends_in, own=True) == ["own", "own"]


@pytest.mark.parametrize("ends_in", ["task", "map"])
@pytest.mark.parametrize("way", SENT)
def test_without_one_it_is_the_chains(way, ends_in):
    assert ids(SENT[way], ends_in, own=False) == ["given", "given"]


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("way", EAGER)
def test_applied_eagerly_the_chains_comes_first(way, own):
    assert ids(EAGER[way], "task", own) == ["given", "given"]


def test_a_body_that_is_a_chain_of_another_id_ends_with_its_last_steps(pair):
    """Chords of Celery 5.4's workers come so: their chain has the header's id, and the client waits for the step's."""
    own, other = pair.bench.new_key(), pair.bench.new_key()
    body = pair.lib.chain(pair.s("tsum"), pair.s("mul", 2).set(task_id=own)).set(task_id=other)
    pair.lib.chord([pair.s("add", 1, 1), pair.s("add", 2, 2)], body).apply_async()
    assert pair.bench.wait_state(pair.app, own) == "SUCCESS"
    assert pair.app.AsyncResult(own).get(timeout=20) == 12
    assert pair.record(other) is None
