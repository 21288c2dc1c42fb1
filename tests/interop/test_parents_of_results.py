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
    "a header of an empty chord": lambda c, x, empty: c.chord([empty()], x.s()),
    "a header of two empty chords": lambda c, x, empty: c.chord([empty(), empty()], x.s()),
    "a header of an empty chord that ends in a group": lambda c, x, empty: c.chord([headless(c, x)], x.s()),
    "a header of an empty chord that ends in a group, and a task": lambda c, x, empty: c.chord(
        [headless(c, x), x.s()], x.s()
    ),
    "a header of a group of an empty chord that ends in a group": lambda c, x, empty: c.chord(
        [c.group(headless(c, x))], x.s()
    ),
    "a header of a chain of an empty chord that ends in a group": lambda c, x, empty: c.chord(
        [c.chain(x.s(), headless(c, x))], x.s()
    ),
    "a header of a chord whose header is an empty chord that ends in a group": lambda c, x, empty: c.chord(
        [c.chord([headless(c, x)], c.group(x.s(), x.s()))], x.s()
    ),
    "an iterator as header": lambda c, x, empty: c.chord((one for one in [headless(c, x)]), x.s()),
    "a group of an empty chord that ends in a group": lambda c, x, empty: c.group(headless(c, x)),
    "an empty chord whose body is a group of one": lambda c, x, empty: c.chord([], c.group(headless(c, x))),
    "an empty chord whose body is a chord": lambda c, x, empty: c.chord([], c.chord([x.s()], x.s())),
    "an empty chord whose body has a header of an empty chord": lambda c, x, empty: c.chord(
        [], c.chord([headless(c, x)], x.s())
    ),
    "an empty chord whose body is an empty chord": lambda c, x, empty: c.chord([], empty()),
    "a body that is an empty chord": lambda c, x, empty: c.chord([x.s()], empty()),
    "a body that is an empty chord that ends in a group": lambda c, x, empty: c.chord([x.s()], headless(c, x)),
    "a task, then a header of an empty chord that ends in a group": lambda c, x, empty: c.chain(
        x.s(), c.chord([headless(c, x)], x.s())
    ),
}  # fmt: skip


def headless(library, task):
    return library.chord([], library.group(task.s(), task.s()))


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
