"""A chord's header takes tasks in place of signatures without arguments, as Celery's."""

import pytest

from canvas import Canvas, chain, chord, chunks, group, shared_task, signature


@pytest.fixture
def app():
    with Canvas("headers", broker="memory://", backend="memory://") as app:
        yield app


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("form", [list, tuple, iter])
def test_a_task_in_a_header_is_its_signature(app, shared, form):
    make = shared_task if shared else app.task

    @make(name="one")
    def one():
        return 1

    @make(name="total")
    def total(numbers):
        return sum(numbers)

    workflow = chord(form([one, one, one.s()]), total.s())
    assert [dict(member) for member in workflow.clone().tasks] == [dict(one.s())] * 3
    assert workflow.apply().get() == 3


@pytest.mark.parametrize("form", [list, tuple, iter])
def test_composites_in_a_header_stay_what_they_are(app, form):
    one, total = signature("one"), signature("total")
    members = [chord([one], total), chain(one, one), group(one, one), chunks(one, [(1,)], 1), one]
    assert [type(member) for member in chord(form(members), total).tasks] == [type(member) for member in members]
