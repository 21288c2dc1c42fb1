"""What is misspelt in options and addresses is named, with what was probably meant; what belongs to others is left."""

import asyncio

import pytest

from canvas import Canvas, Task, chord
from canvas.drivers import open_driver
from canvas.errors import ConfigurationError, InvalidTaskError
from tests.support.warned import warnings_are_errors


@pytest.fixture
def app():
    return Canvas("misspelt", broker="memory://misspelt", backend="memory://misspelt", set_as_current=False)


@pytest.mark.parametrize(
    ("option", "near"),
    [("ack_late", "acks_late"), ("max_retry", "max_retries"), ("timelimit", "time_limit"), ("ratelimit", "rate_limit")],
)
def test_a_misspelt_option_of_a_task(app, option, near):
    with pytest.warns(UserWarning, match=rf"name: unknown task option '{option}'; did you mean {near}\?") as caught:
        app.task(name="name", **{option: 1})(lambda: None)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("option", "near"),
    [("cuntdown", "countdown"), ("expire", "expires"), ("queues", "queue"), ("seralizer", "serializer")],
)
def test_a_misspelt_option_of_a_call(app, option, near):
    task = app.task(name="name")(lambda: None)
    for send in (
        lambda: task.apply_async(**{option: 1}), lambda: task.s().set(**{option: 1}).delay(),
        lambda: task.s().apply_async(**{option: 1}), lambda: app.send_task("name", **{option: 1}),
    ):  # fmt: skip
        with pytest.warns(UserWarning, match=rf"name: unknown option '{option}'; did you mean {near}\?"):
            send()


class Singleton(Task):
    unique_on = None
    lock_expiry = 5


def test_options_of_celery_and_of_plug_ins_are_left_alone(app):
    with warnings_are_errors():
        app.task(name="a", base=Singleton, unique_on=["x"], lock_expiry=3, once={"keys": []})(lambda: None)
        app.task(name="b", raise_on_duplicate=True, retry_on_worker_lost=True, shared=False, flush_every=5)(
            lambda: None
        )
        app.send_task("a", tenant="t", app_id="x", periodic_task_name="p", content_type="c", trace_id="y")
        app.signature("a").stamp(expire="monday").apply_async()


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redi://h", r"did you mean redis://\?"), ("zookeeper://h", "canvas keeps messages in Redis"),
        ("mongodb://u:hush@h/d", "results in Redis, in SQL"), ("localhost:6379", "write redis://localhost:6379/0"),
        ("sqs://", "canvas keeps messages in Redis"), ("xyz://h", "expected one of (amqp, amqps, |cache.*, file, )memory, (pyamqp, )?redis"),
    ],
)  # fmt: skip
def test_an_address_that_no_driver_serves(url, text):
    for given in ((url, None), ("redis://h", url)):
        with pytest.raises(ConfigurationError, match=text) as raised:
            open_driver(*given)
        assert "hush" not in str(raised.value)


@pytest.mark.parametrize("key", ["timeout", "interval", "max_retry"])
def test_a_key_that_no_retry_policy_has(app, key):
    """Celery raises TypeError as well, unless the send is not to be tried again."""
    task, policy = app.task(name="name")(lambda: None), {"max_retries": 1, key: 1}
    for send in (task.apply_async, task.s().apply_async, lambda **options: app.send_task("name", **options)):
        with pytest.raises(TypeError, match=f"^name: retry_policy: unknown key '{key}'; expected max_retries, "):
            send(retry_policy=policy)
        send(retry_policy=policy, retry=False)
    app.conf.task_publish_retry_policy = policy
    for send in (task.delay, lambda: app.send_task("name", retry_policy={"max_retries": 1})):
        with pytest.raises(TypeError, match=f"^task_publish_retry_policy: unknown key '{key}'; "):
            send()


def test_the_keys_of_a_retry_policy(app):
    with pytest.raises(InvalidTaskError, match=r"^name: retry_policy: expected a mapping; got int 3"):
        app.send_task("name", retry_policy=3)
    policy = {"max_retries": 1, "interval_start": 0, "interval_step": 1, "interval_max": 1}
    app.send_task("name", retry_policy={**policy, "errback": None, "on_revive": None, "retry_errors": None})


@pytest.mark.parametrize("queue", ["hihg", "celery"])
def test_a_wait_that_times_out_shows_the_queue(app, queue):
    app.driver.admin.purge(queue)
    result = app.send_task("t", queue=queue)
    text = rf"is not ready after 0.05 s, its state is PENDING; 1 message waits in its queue '{queue}': does a worker take from it \(worker -Q {queue}\)"
    with pytest.raises(TimeoutError, match=text):
        result.get(timeout=0.05)
    with pytest.raises(TimeoutError, match=text):
        asyncio.run(result.aget(timeout=0.05))
    app.driver.admin.purge(queue)
    with pytest.raises(TimeoutError, match=f"no message waits in its queue '{queue}'"):
        result.get(timeout=0.05)
    with pytest.raises(TimeoutError, match="its state is PENDING; nothing is stored of it: do its workers"):
        app.AsyncResult("nope").get(timeout=0.05)


def test_a_wait_that_times_out_names_the_tasks_that_its_own_waits_for(app):
    body = app.signature("total")
    for flow, missing in ((chord([app.signature("t")] * 5, body), 5), (app.signature("t") | body, 1)):
        result = flow.apply_async()
        ids = [leaf.id for leaf in result.parent.leaves()]
        assert len(ids) == missing
        says = rf"{missing} tasks? before it ha\w+ not succeeded \({', '.join(ids[:3])}(, …)?\): look for messages that wait"
        with pytest.raises(TimeoutError, match=rf"its state is PENDING; {says}"):
            result.get(timeout=0.05)
        with pytest.raises(TimeoutError, match=says):
            asyncio.run(result.aget(timeout=0.05))
    app.driver.admin.purge("celery")


def test_a_wrong_rate_and_a_wrong_time_name_the_task(app):
    with pytest.raises(ConfigurationError, match="slow: rate limit: expected"):
        app.task(name="slow", rate_limit="10/x")(lambda: None).delay()
    app = Canvas("times", broker="memory://times", set_as_current=False)
    for option in ({"eta": "tomorrow"}, {"eta": 5}, {"expires": "soon"}):
        with pytest.raises(InvalidTaskError, match=r"t: e.*: expected"):
            app.send_task("t", **option)
