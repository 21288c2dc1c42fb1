"""Groups that are saved and restored, with tasks whose results are ignored."""

import pytest

from canvas import Canvas, GroupResult, Signature, chain, group
from tests.support.apps import make


@pytest.fixture
def app(redis_url):
    with Canvas("restored", broker=redis_url, backend=redis_url, set_as_current=False) as app:
        yield app


@pytest.fixture
def add(app):
    @app.task(name="r.add", shared=False)
    def add(x, y):
        return x + y

    return add


SHAPES = {
    "a member": lambda add, quiet: group(quiet, add.s(1, 1)),
    "the last step of a member": lambda add, quiet: group(chain(add.s(1, 1), quiet), add.s(1, 1)),
    "a member of a group inside": lambda add, quiet: group(group(quiet, add.s(1, 1)), quiet),
    "all members": lambda add, quiet: group(quiet, quiet),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_restored_group_does_not_wait_for_tasks_whose_results_are_ignored(app, add, shape):
    sent = SHAPES[shape](add, add.si(2, 2).set(ignore_result=True)).apply_async()
    kept = [leaf for leaf in sent.leaves() if not leaf.ignored]
    assert len(kept) < len(sent.leaves())
    sent.save()
    restored = GroupResult.restore(sent.id, app=app)
    assert [leaf.ignored for leaf in restored.leaves()] == [leaf.ignored for leaf in sent.leaves()]
    for leaf in kept:
        app.backend.store_result(leaf.id, 2, "SUCCESS")
    assert restored.get(timeout=5) == sent.get(timeout=5)
    assert restored.ready()
    # A second round through the backend forgets nothing.
    restored.save()
    assert GroupResult.restore(sent.id, app=app).get(timeout=5) == sent.get(timeout=5)


def test_celery_restores_what_canvas_saved_and_the_other_way_round(app, add, redis_url):
    other = make("celery", redis_url, redis_url)
    sent = group(add.s(1, 1), add.s(2, 2).set(ignore_result=True)).apply_async()
    sent.save()
    read = other.GroupResult.restore(sent.id)
    assert read.as_tuple() == other.GroupResult(sent.id, [other.AsyncResult(r.id) for r in sent.results]).as_tuple()
    read.id = f"{sent.id}-again"
    read.save()
    ours = GroupResult.restore(read.id, app=app)
    assert [leaf.id for leaf in ours.leaves()] == [result.id for result in sent.results]
    other.close()


def test_a_group_is_true_if_it_has_members():
    """As in Celery; a chain without steps is true."""
    assert [bool(group(members)) for members in ([], [Signature("a")])] == [False, True]
    assert bool(chain())
