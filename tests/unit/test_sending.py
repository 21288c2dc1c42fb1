"""What an app sends and what it refuses: arguments, sizes, times, and ids."""

import functools

import pytest

from canvas import Canvas
from canvas.caller_warnings import AlwaysEagerIgnored
from canvas.errors import ConfigurationError, EncodeError, InvalidTaskError
from canvas.model.message import Publish


@pytest.fixture
def app():
    app = Canvas("shop", broker="memory://app", backend="memory://app")
    app.driver.admin.purge("celery")
    return app


def test_arguments_are_checked_when_sent(app):
    @app.task(name="two")
    def two(a, b=1, *, c=2):
        return a

    for bad in (((), {}), ((1, 2, 3), {}), ((1,), {"d": 1})):
        with pytest.raises(TypeError, match="two"):
            two.apply_async(*bad)
    two.apply_async((1,), {"c": 3})
    assert app.driver.admin.queue_length("celery") == 1
    app.task(name="free", typing=False)(lambda a: a).delay(1, 2, 3)


def test_nothing_is_sent_when_a_part_cannot_be_written(app):
    from canvas import group

    @app.task(name="one")
    def one(a):
        return a

    with pytest.raises(EncodeError, match=r"one\[.*set"):
        group(one.s(1), one.s({1})).delay()
    assert app.driver.admin.queue_length("celery") == 0


def test_large_messages_are_refused(app):
    app.conf.task_message_max_bytes = 1000
    with pytest.raises(EncodeError, match="task_message_max_bytes"):
        app.send_task("x", ["a" * 2000])


@pytest.mark.parametrize(
    "options", [{"countdown": "soon"}, {"eta": 5}, {"eta": "tomorrow"}, {"expires": []}, {"countdown": 1e300}]
)
def test_bad_times_are_refused(app, options):
    with pytest.raises(InvalidTaskError, match=next(iter(options))):
        app.send_task("x", **options)


def test_a_chord_needs_a_backend():
    from canvas import chord

    app = Canvas("nob", broker="memory://nob")
    with pytest.raises(ConfigurationError, match="result backend"):
        chord([app.signature("a")], app.signature("b")).delay()
    assert app.driver.admin.queue_length("celery") == 0


def test_ids_are_per_run_and_reply_to_per_thread(app):
    import threading

    found = []
    thread = threading.Thread(target=lambda: found.append(app.oid))
    thread.start()
    thread.join()
    assert app.oid == app.oid != found[0]


def test_a_task_sent_by_name_is_not_held_against_its_function_nor_run_here():
    app = Canvas("byname", broker="memory://byname", backend="memory://byname", set_as_current=False)
    one = app.task(name="one")(lambda a: a)
    with pytest.raises(TypeError, match="missing"):
        one.apply_async()
    assert not app.send_task("one").ready()
    app.conf.task_always_eager = True
    with pytest.warns(AlwaysEagerIgnored, match="no effect on send_task") as warned:
        assert not app.send_task("one", (1,)).ready()
    assert warned[0].filename == __file__
    assert app.driver.admin.queue_length("celery") == 2


def test_an_app_may_leave_arguments_unchecked():
    app = Canvas("loose", broker="memory://loose", strict_typing=False, set_as_current=False)
    loose = app.task(name="loose")(lambda a: a)
    strict = app.task(name="strict", typing=True)(lambda a: a)
    assert loose.apply_async().id
    with pytest.raises(TypeError, match="missing"):
        strict.apply_async()


def test_arguments_that_a_decorator_gives_are_not_asked_for(app):
    def with_db(function):
        @functools.wraps(function)
        def given(*args, **kwargs):
            return function("db", *args, **kwargs)

        return given

    work = app.task(name="work")(with_db(lambda db, x: (db, x)))
    assert work.delay(1).id
    assert work.apply((1,)).get() == ("db", 1)


def test_a_purged_unique_task_can_be_sent_again(app):
    unique = app.task(name="unique", unique_for=60)(lambda x: x)
    first = unique.delay(1)
    assert unique.delay(1).id == first.id
    app.driver.broker.publish([Publish("", "celery", 0, b"no message")])
    assert app.control.purge() == 2
    assert unique.delay(1).id != first.id
    assert app.control.purge() == 1


def test_an_empty_id_is_none(app):
    assert app.send_task("x", task_id="").id


async def test_async_sending(app):
    result = await app.asend_task("x", (1,))
    assert result.id
    task = app.task(name="async.one")(lambda a: a)
    assert (await task.adelay(1)).id
    assert (await (task.s(1) | task.s()).adelay()).parent is not None
    assert app.driver.admin.queue_length("celery") == 3
