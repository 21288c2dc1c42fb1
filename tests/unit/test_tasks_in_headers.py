"""A chord's header takes tasks in place of signatures without arguments, as Celery's."""

import pytest

from canvas import Canvas, chord, shared_task


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
