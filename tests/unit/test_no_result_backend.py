"""An app without a result backend: each use of one fails with an error that names the setting."""

import pytest

from canvas import AsyncResult, Canvas, Workflow, chain, chord
from canvas.errors import ConfigurationError, NoResultBackend


@pytest.fixture
def app():
    with Canvas("bare", broker="memory://", set_as_current=False) as app:
        yield app


@pytest.fixture
def add(app):
    @app.task(name="add")
    def add(x, y):
        return x + y

    return add


def started(app, add):
    flow = Workflow("flow", app)
    flow.add(add.s(1, 2))
    return flow.apply_async()


USES = {
    "get": lambda app, add: AsyncResult("some-id", app=app).get(timeout=1),
    "chord": lambda app, add: chord([add.s(1, 2)], add.s(3)).apply_async(),
    "a later step that is a chord": lambda app, add: chain(add.s(1, 2), chord([add.s(3)], add.s(4))).apply_async(),
    "workflow": started,
    "ensure_chords_allowed": lambda app, add: app.backend.ensure_chords_allowed(),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_the_error_is_celerys_and_ours(app, add, use):
    with pytest.raises(NoResultBackend, match="set result_backend") as raised:
        use(app, add)
    assert isinstance(raised.value, NotImplementedError)
    assert isinstance(raised.value, ConfigurationError)
