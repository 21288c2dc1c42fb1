"""The parents of the result of a chain with chords, next to those that Celery gives for the same chain."""

import celery
import pytest

import canvas

SHAPES = {
    "an empty chord": lambda c, x, empty: empty(),
    "an empty chord, then a task": lambda c, x, empty: c.chain(empty(), x.s()),
    "two empty chords": lambda c, x, empty: c.chain(empty(), empty()),
    "two empty chords after a task": lambda c, x, empty: c.chain(x.s(), empty(), empty()),
    "an empty chord after a group": lambda c, x, empty: c.chain(c.group(x.s(), x.s()), empty()),
    "an empty chord after two groups": lambda c, x, empty: c.chain(c.group(x.s()), c.group(x.s(), x.s()), empty()),
    "an empty chord that ends in a group": lambda c, x, empty: c.chain(c.chord([], c.group(x.s(), x.s())), empty()),
    "an empty chord whose body is a chain": lambda c, x, empty: c.chord([], c.chain(x.s(), x.s())),
    "a chord that ends in a group, then a chord": lambda c, x, empty: c.chain(
        c.chord([x.s()], c.group(x.s(), x.s())), c.chord([x.s(), x.s()], x.s())
    ),
    "a chord that ends in a group, then an empty chord": lambda c, x, empty: c.chain(
        c.chord([x.s()], c.group(x.s(), x.s())), empty()
    ),
    "an empty chord that ends in a group, then a chord": lambda c, x, empty: c.chain(
        c.chord([], c.group(x.s(), x.s())), c.chord([x.s()], x.s())
    ),
    "a chord, a group and a task": lambda c, x, empty: c.chain(
        c.chord([x.s()], x.s()), c.group(x.s(), x.s()), x.s()
    ),
}  # fmt: skip


def parents(library, app, make):
    def x(*args):
        return 1

    task = app.task(x, name="x")
    result = make(library, task, lambda: library.chord([], task.s())).apply_async()
    found = []
    while result is not None:
        found.append(f"group of {len(result.results)}" if hasattr(result, "results") else "task")
        result = result.parent
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_the_parents_of_a_result_are_celerys(shape):
    servers = {"broker": f"memory://{shape}", "backend": "cache+memory://"}
    theirs = parents(celery, celery.Celery("parents", **servers), SHAPES[shape])
    app = canvas.Canvas("parents", **servers)
    assert parents(canvas, app, SHAPES[shape]) == theirs
    app.close()
