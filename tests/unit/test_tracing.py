"""``celery.app.trace.build_tracer``: programs with an ``apply`` of their own run tasks by it."""

import pytest

from canvas import Canvas, current_app
from canvas.celery_names.parts.tracing import (
    build_tracer,
    reset_worker_optimizations,
    setup_worker_optimizations,
    trace_task,
)
from canvas.errors import ConfigurationError, Ignore, Retry
from canvas.model.outcome import ExceptionInfo


@pytest.fixture
def app():
    return Canvas("traced", broker="memory://", backend="memory://")


@pytest.fixture
def task(app):
    @app.task(bind=True, name="traced", max_retries=1)
    def traced(self, how):
        if isinstance(how, Exception):
            raise how
        if how == "retry":
            raise self.retry(countdown=0)
        return [how, self.request.id, self.request.retries, self.request.is_eager, self.request.properties]

    return traced


def run(task, how, **options):
    tracer = build_tracer(task.name, task, eager=True, app=task.app, **options)
    return tracer("id", (how,), {}, {"retries": 0, "properties": {"user": 5}})


def test_a_value(task):
    traced = run(task, "well")
    assert traced.retval == ["well", "id", 0, True, {"user": 5}]
    assert (traced.info, traced.retstr) == (None, repr(traced.retval))


@pytest.mark.parametrize(
    ("how", "state", "kind"),
    [(ValueError("no"), "FAILURE", ValueError), ("retry", "RETRY", Retry), (Ignore("none"), "IGNORED", Ignore)],
)
def test_other_ends(task, how, state, kind):
    traced = run(task, how)
    assert (traced.info.state, type(traced.info.retval)) == (state, kind)
    assert isinstance(traced.retval, ExceptionInfo)
    assert type(traced.retval.exception.exc) is kind


def test_exceptions_that_are_raised(task):
    with pytest.raises(ValueError, match="no"):
        run(task, ValueError("no"), propagate=True)
    assert trace_task(task, "id", (ValueError("no"),), {}, eager=True, propagate=True).info.state == "FAILURE"


def test_messages_have_canvas_own_pipeline(task):
    with pytest.raises(ConfigurationError, match="without eager=True"):
        build_tracer(task.name, task)


def test_a_worker_of_a_program(app, task):
    before = current_app._get_current_object()
    try:
        setup_worker_optimizations(app)
        assert current_app.main == "traced"
        reset_worker_optimizations()
        assert run(task, "well").retval[0] == "well"
    finally:
        before.set_current()
        before.set_default()
