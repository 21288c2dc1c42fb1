"""Calls of the app that are Celery's: positions of arguments, overridden methods, options read early, settings changed
late."""

import asyncio
import inspect

import celery
import celery.app.control
import celery.result
import pytest

from canvas import Canvas, Task, group, shared_task
from canvas.errors import ConfigurationError, NotRegistered, QueueNotFound
from canvas.remote.inspect import Inspect
from canvas.result import AsyncResult
from tests.support.messages import sent


@pytest.fixture
def app(request):
    return Canvas("api", broker=f"memory://{request.node.name}", backend=f"memory://{request.node.name}")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Canvas.send_task, celery.Celery.send_task), (Canvas.__init__, celery.Celery.__init__),
        (Inspect.__init__, celery.app.control.Inspect.__init__),
        (AsyncResult.revoke_by_stamped_headers, celery.result.AsyncResult.revoke_by_stamped_headers),
    ],
)  # fmt: skip
def test_arguments_have_celerys_order(ours, theirs):
    expected = [name for name, one in inspect.signature(theirs).parameters.items() if one.kind is not one.VAR_KEYWORD]
    assert list(inspect.signature(ours).parameters)[: len(expected)] == expected


def test_a_url_in_the_place_of_the_loader_is_refused():
    with pytest.raises(ConfigurationError, match=r"second argument is Celery's loader; got 'redis://:\*\*@h'.*broker="):
        Canvas("positional", "redis://:secret@h")
    assert Canvas("positional", "default", "redis://b", set_as_current=False).conf.result_backend == "redis://b"


def test_send_task_by_position(app):
    app.send_task("add", (1,), {}, None, None, "an-id")
    assert sent(app)[0].id == "an-id"


class Double(Task):
    name = "double"

    def run(self, x):
        return 2 * x


class Nameless(Task):
    def run(self, x):
        return x


def test_an_instance_that_is_not_registered_is_sent_by_its_name(app):
    app.register_task(Double())
    Double().delay(2)
    Double().apply_async((3,), countdown=0.001)
    Double().s(4).delay()
    asyncio.run(Double().adelay(5))
    assert [(m.task, m.args) for m in sent(app)] == [("double", [x]) for x in (2, 3, 4, 5)]
    assert Double().apply((2,)).get() == 4
    assert Double().acks_late is app.conf.task_acks_late
    for send in (
        lambda: Nameless().delay(1),
        lambda: asyncio.run(Nameless().adelay(1)),
        lambda: Nameless().apply((1,)),
    ):
        with pytest.raises(
            NotRegistered, match=r"Nameless is not registered in an app: register it with app\.register"
        ):
            send()


def test_options_read_before_first_use_are_the_settings(app):
    app.conf.update(task_acks_late=False, task_serializer="msgpack", task_ignore_result=True, task_track_started=True)

    @app.task
    def plain():
        pass

    @app.task(acks_late=True, serializer="json")
    def own():
        pass

    assert (plain.acks_late, plain.serializer, plain.ignore_result, plain.track_started) == (
        False,
        "msgpack",
        True,
        True,
    )
    assert (own.acks_late, own.serializer, own.ignore_result) == (True, "json", True)
    assert (plain.acks_on_failure, plain.typing, plain.rate_limit) == (True, True, None)
    assert Task.acks_late is None


def test_reading_an_option_tells_receivers_that_change_settings(app):
    app.on_after_configure.connect(lambda sender, source, **_: source.update(task_acks_late=False), weak=False)

    @app.task
    def task():
        pass

    assert task.acks_late is False


def test_the_apps_time_limits_are_written(app):
    app.conf.update(task_time_limit=30, task_soft_time_limit=20)

    @app.task
    def plain():
        pass

    @app.task(time_limit=5, soft_time_limit=4)
    def own():
        pass

    plain.delay()
    own.delay()
    plain.apply_async(time_limit=9, soft_time_limit=8)
    app.send_task("unknown")
    assert [m.headers["timelimit"] for m in sent(app)] == [[30, 20], [5, 4], [9, 8], [None, None]]


@pytest.mark.parametrize("limits", [{"time_limit": 1, "soft_time_limit": 2}, {"soft_time_limit": 50}])
def test_a_soft_limit_above_the_hard_one_is_refused(app, limits):
    app.conf.task_time_limit = 30

    @app.task
    def task():
        pass

    for send in (lambda: task.apply_async(**limits), lambda: group(task.s().set(**limits), task.s()).apply_async()):
        with pytest.raises(ValueError, match="soft_time_limit must be less than or equal to time_limit; got"):
            send()
    assert sent(app) == []


def test_without_the_default_queue(app):
    app.conf.update(task_queues=["high", "low"], task_create_missing_queues=False)

    @app.task
    def task():
        pass

    task.apply_async(queue="high")
    assert len(sent(app, "high")) == 1
    with pytest.raises(
        QueueNotFound, match=r"'celery', the task_default_queue, is not in task_queues.*set task_default"
    ):
        task.delay()
    with pytest.raises(QueueNotFound, match="'hihg' is not in task_queues"):
        task.apply_async(queue="hihg")


def test_routes_that_are_set_after_the_first_send(app):
    app.send_task("one")
    app.config_from_object({"broker_url": app.conf.broker_url, "task_routes": {"one": "first"}})
    app.send_task("one")
    app.conf.task_routes = {"one": "second"}
    app.send_task("one")
    app.conf.update(task_default_queue="third", task_routes=None)
    app.send_task("one")
    assert [len(sent(app, queue)) for queue in ("celery", "first", "second", "third")] == [1, 1, 1, 1]


def test_what_is_closed_or_configured_anew_leaves_nothing_on_old_connections(app):
    before = (app.driver, app.backend, app.run_store)
    app.close()
    assert not {id(one) for one in before} & {id(one) for one in (app.driver, app.backend, app.run_store)}
    assert app.run_store._driver is app.driver.results
    app = Canvas("configured", set_as_current=False)
    app.config_from_object({"broker_url": "memory://one", "result_backend": "memory://one"})
    before = app.driver
    app.config_from_object({"broker_url": "memory://another", "result_backend": "memory://one"})
    assert app.driver is not before
    assert app.backend._driver is app.run_store._driver is app.driver.results


def test_a_shared_task_leaves_an_apps_own_task_of_its_name():
    def mine():
        return "own"

    def everyones():
        return "shared"

    app = Canvas("own", broker="memory://", backend="memory://")
    own = app.task(name="taken")(mine)
    shared = shared_task(name="taken")(everyones)
    assert app.tasks["taken"] is own
    assert shared() == "own"
