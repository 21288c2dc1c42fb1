"""Subclasses of signatures that a program registers, as with Celery's `Signature.register_type`."""

import pytest

from canvas import Canvas, Signature, chord, group, signature


@pytest.fixture
def add():
    with Canvas("types", broker="memory://", backend="memory://") as app:

        @app.task(name="add")
        def add(x, y=0):
            return x + y

        yield add


def test_a_dict_becomes_the_registered_subclass_again(add):
    @Signature.register_type()
    class Named(group):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.subtask_type = "Named"

    again = signature(dict(Named(add.s(1), add.s(2))))
    assert isinstance(again, Named)
    assert [member.args for member in again.tasks] == [(1,), (2,)]


def test_a_type_may_have_a_name_of_its_own(add):
    @Signature.register_type(name="mine")
    class Other(chord):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.subtask_type = "mine"

    assert isinstance(signature(dict(Other([add.s(1)], add.s()))), Other)


def test_the_task_of_a_signature_may_be_given(add):
    sig = Signature("unknown", (1,))
    sig.type = add
    assert sig() == 1
