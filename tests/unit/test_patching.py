"""Tests that patch tasks and apps: mock.patch, patch.object and monkeypatch, on every kind of task and proxy."""

import asyncio
import subprocess
import sys
from unittest import mock

import pytest

import canvas
from canvas import Canvas, current_app, shared_task
from canvas.errors import Retry
from canvas.result import AsyncResult


@shared_task
def shared(x=0):
    return x


@pytest.fixture
def app(request):
    return Canvas("patching", broker=f"memory://{request.node.name}", backend=f"memory://{request.node.name}")


@pytest.fixture(params=["shared", "own", "registered"])
def task(request, app):
    if request.param == "shared":
        return shared
    if request.param == "registered":
        return app.tasks[shared.name]
    return app.task(name="own")(lambda x=0: x)


@pytest.mark.parametrize("attribute", ["delay", "apply_async", "run", "s", "retry", "apply", "signature"])
def test_a_method_is_patched_and_put_back(task, app, attribute, monkeypatch):
    before = dict(app.tasks[task.name].__dict__)
    with mock.patch.object(task, attribute) as mocked:
        assert getattr(task, attribute) is mocked
        getattr(task, attribute)(1)
        mocked.assert_called_once_with(1)
    assert app.tasks[task.name].__dict__ == before
    with monkeypatch.context() as patching:
        patching.setattr(task, attribute, lambda x: x + 1)
        assert getattr(task, attribute)(1) == 2
    assert isinstance(task.delay(3), AsyncResult)
    assert not task.sends_itself


@pytest.mark.parametrize(
    ("attribute", "value"), [("rate_limit", "3/s"), ("acks_late", False), ("max_retries", 9), ("own", 1)]
)
def test_an_option_is_patched_and_put_back(task, app, attribute, value, monkeypatch):
    app.tasks[task.name].rate_limit = "8/m"
    before = dict(app.tasks[task.name].__dict__)
    with mock.patch.object(task, attribute, value, create=True):
        assert getattr(app.tasks[task.name], attribute) == value
    assert app.tasks[task.name].__dict__ == before
    with monkeypatch.context() as patching:
        patching.setattr(task, attribute, value, raising=False)
        assert getattr(task, attribute) == value
    assert {**app.tasks[task.name].__dict__, "max_retries": 3} == {**before, "max_retries": 3}


def test_by_name_as_decorator_and_with_autospec(app):
    @mock.patch(f"{__name__}.shared.delay")
    @mock.patch(f"{__name__}.shared.apply_async", autospec=True)
    def run(apply_async, delay):
        shared.delay(1)
        shared.apply_async((2,), countdown=1)
        delay.assert_called_once_with(1)
        assert apply_async.call_count == 1
        with pytest.raises(TypeError):
            shared.apply_async((2,), {}, 1, 2, 3, 4, 5, 6, 7, 8, 9)

    run()
    run()
    assert isinstance(shared.delay(1), AsyncResult)
    assert "apply_async" in dir(shared)
    assert isinstance(mock.Mock(spec=shared).delay(), mock.Mock)


def test_a_proxy_of_an_app(app):
    with mock.patch.object(current_app, "send_task") as send:
        app.send_task("x")
    send.assert_called_once_with("x")
    assert "send_task" not in app.__dict__
    with mock.patch.object(current_app.conf, "task_always_eager", True):
        assert shared.delay(4).get() == 4
    assert "send_task" in dir(canvas.current_app)


def test_the_object_behind_a_name_of_celerys(app):
    """In Celery a decorated function, ``current_app`` and ``current_task`` are proxies."""
    assert current_app._get_current_object() is app
    assert canvas.current_task._get_current_object() is None

    @app.task(bind=True)
    def own(self):
        return canvas.current_task._get_current_object() is self._get_current_object()

    assert own._get_current_object() is own
    assert own.apply().get()
    assert own.__qualname__.endswith("<locals>.own")


def test_before_there_is_an_app():
    code = """
from unittest import mock
from canvas import shared_task
@shared_task
def add(x): return x
with mock.patch.object(add, "delay") as delay:
    add.delay(1)
assert delay.called and add(3) == 3
try:
    add.delay(1)
except Exception as exc:
    print(exc)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "no app: expected a Canvas(...) to exist before tasks are sent; create one\n"


@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_a_direct_call_retries_by_itself_through_the_patched_retry(app, kind):
    """As in Celery, whose ``autoretry_for`` wraps ``run``; without a patch ``retry`` raises the exception."""

    def body(error):
        raise error

    async def coroutine(error):
        raise error

    task = app.task(name="flaky", autoretry_for=(OSError, Retry), dont_autoretry_for=(FileExistsError,))(
        body if kind == "function" else coroutine
    )

    def called(error):
        value = task(error)
        return asyncio.run(value) if kind == "coroutine" else value

    with mock.patch.object(task, "retry", side_effect=RuntimeError("patched")) as retry:
        with pytest.raises(RuntimeError, match="patched"):
            called(error := OSError("gone"))
        assert retry.call_args.kwargs["exc"] is error
        for other in (FileExistsError("there"), ValueError("no"), Retry("mine")):
            with pytest.raises(type(other)):
                called(other)
        assert retry.call_count == 1
    with pytest.raises(OSError, match="gone"):
        called(OSError("gone"))
