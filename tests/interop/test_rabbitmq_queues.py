"""Queues in RabbitMQ with declarations of their own, and messages that reach none."""

import logging
import time
from contextlib import ExitStack
from itertools import pairwise

import amqp
import pytest
from kombu import Exchange, Queue, binding
from kombu.common import Broadcast

from canvas import Canvas
from canvas.errors import Reject
from canvas.model.queue import Queue as canvas_queue
from canvas.testing.contract import eventually
from canvas.testing.worker import start_worker
from tests.support.rabbit_bench import channel_to

HEADERS, SPARE = Exchange("heads", "headers"), Exchange("spare", "fanout")


@pytest.fixture(scope="module")
def vhost(rabbitmq):
    return rabbitmq.url()


@pytest.fixture
def make(vhost, redis_url):
    """Makes apps, each of which is another program; their tasks note in ``made.ran`` what ran where."""
    apps = []

    def new(queues, **settings):
        app = Canvas(
            f"a{len(apps)}", broker=vhost, backend=redis_url, set_as_current=False, task_queues=queues, **settings
        )
        app.ran = []

        @app.task(name="note")
        def note(value, seconds=0.0):
            start = time.monotonic()
            time.sleep(seconds)
            app.ran.append((value, start, time.monotonic()))

        apps.append(app)
        return app

    yield new
    for app in apps:
        app.close()


def working(*apps, **options):
    """All of these apps have a worker."""
    stack = ExitStack()
    for app in apps:
        stack.enter_context(start_worker(app, perform_ping_check=False, **options))
    return stack


def names_of(vhost, *queues):
    """Those of the queues that exist."""
    found = []
    for queue in queues:
        with channel_to(vhost) as channel:
            try:
                channel.queue_declare(queue, passive=True)
            except amqp.NotFound:
                continue
            found.append(queue)
    return found


def test_a_broadcast_runs_once_on_every_worker(vhost, make):
    client, *workers = (make([Broadcast("all")], task_routes={"note": {"queue": "all"}}) for _ in range(3))
    queues = [next(iter(app.router.consumed())).name for app in (client, *workers)]
    with working(*workers):
        client.tasks["note"].delay(1)
        client.tasks["note"].delay(2)
        eventually(lambda: all(len(app.ran) == 2 for app in workers))
        assert names_of(vhost, *queues) == queues[1:]
    assert [[value for value, *_ in app.ran] for app in workers] == [[1, 2], [1, 2]]
    # They go with their workers: nobody would take what is sent to them.
    eventually(lambda: names_of(vhost, *queues) == [])


def test_a_queue_that_goes_with_its_consumers_loses_nothing_while_its_worker_is_busy(vhost, make):
    app = make([Queue("going", auto_delete=True), Queue("other")])
    with working(app):
        app.tasks["note"].apply_async((0, 1.0), queue="other")  # waits for longer than a task that may hold up others
        results = [app.tasks["note"].apply_async((number, 0.05), queue="going") for number in range(20)]
        for result in results:
            result.get(timeout=30)
        app.tasks["note"].apply_async((20,), queue="going").get(timeout=30)
    assert sorted(value for value, *_ in app.ran) == [0, *range(21)]
    eventually(lambda: names_of(vhost, "going") == [])


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_the_messages_of_a_queue_with_one_active_consumer_run_one_after_another(make, kind):
    arguments = {"x-single-active-consumer": True, "x-queue-type": kind}
    apps = [make([Queue(f"single-{kind}", queue_arguments=dict(arguments))], task_acks_late=True) for _ in range(2)]
    with working(*apps, pool="threads", concurrency=2):
        for number in range(8):
            apps[0].tasks["note"].apply_async((number, 0.05), queue=f"single-{kind}")
        eventually(lambda: sum(len(app.ran) for app in apps) == 8)
    ran = sorted((run for app in apps for run in app.ran), key=lambda run: run[1])
    assert [value for value, *_ in ran] == list(range(8))
    assert all(before[2] <= after[1] for before, after in pairwise(ran))


def test_messages_reach_queues_as_their_bindings_say(make):
    queues = [
        Queue("any", HEADERS, binding_arguments={"x-match": "any", "kind": "a"}),
        Queue("rest", SPARE),
        Queue("direct", Exchange("main", arguments={"alternate-exchange": "spare"}), "known"),
        Queue("two", [binding(Exchange("topics", "topic"), "a.#"), binding(Exchange("main2"), "k")]),
    ]
    app = make(queues)
    app.driver.broker.declare(app.router.consumed())

    def send(**options):
        app.tasks["note"].apply_async((1,), **options)

    send(queue="any", exchange="heads", exchange_type="headers", headers={"kind": "a"})
    send(queue="any", exchange="heads", exchange_type="headers", headers={"kind": "b"})
    send(exchange="main", routing_key="known")
    send(exchange="main", routing_key="unknown")
    send(exchange="topics", routing_key="a.b.c")
    send(exchange="main2", routing_key="k")
    lengths = {name: app.driver.admin.queue_length(name) for name in ("any", "rest", "direct", "two")}
    assert lengths == {"any": 1, "rest": 1, "direct": 1, "two": 2}


def test_each_queue_that_an_exchange_gives_a_message_to_runs_it(make):
    app = make([Queue("both-a", Exchange("both", "topic"), "#"), Queue("both-b", Exchange("both", "topic"), "k.*")])
    app.driver.broker.declare(app.router.consumed())
    with working(app):
        app.tasks["note"].apply_async((1,), exchange="both", exchange_type="topic", routing_key="k.1")
        eventually(lambda: len(app.ran) == 2)


@pytest.mark.parametrize("state", ["store", "none"])
def test_a_rejected_message_goes_to_the_dead_letter_exchange_of_its_queue(make, state):
    """It may come back from there, and then runs again."""
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"rejected-{state}"}
    app = make([Queue(f"dying-{state}", queue_arguments=arguments)], task_acks_late=True)
    if state == "none":
        app.conf.result_backend = "rpc://"
    back = {"x-message-ttl": 200, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"dying-{state}"}
    app.driver.broker.declare([canvas_queue(f"rejected-{state}", arguments=back)])
    runs = []

    @app.task(name="rejects")
    def rejects():
        runs.append(time.monotonic())
        if len(runs) < 3:
            raise Reject("not now", requeue=False)

    with working(app):
        rejects.apply_async(queue=f"dying-{state}")
        eventually(lambda: len(runs) == 3)
    assert all(after - before > 0.2 for before, after in pairwise(runs))


def test_messages_that_reach_no_queue_are_reported(vhost, make, caplog):
    app = make([Queue("here"), Queue("elsewhere", no_declare=True)], task_default_queue="here")
    with channel_to(vhost) as channel:
        channel.exchange_declare("lonely", "topic", durable=True, auto_delete=False)
    sent = [
        app.tasks["note"].apply_async((1,), **address)
        for address in (
            {"exchange": "nowhere", "routing_key": "k"}, {"exchange": "lonely", "routing_key": "k"},
            {"queue": "elsewhere"}, {"queue": "elsewhere"},
        )
    ]  # fmt: skip
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"The message of task note[{result.id}] reaches no queue and is dropped: {why}"
        for result, why in zip(
            sent,
            ["there is no exchange 'nowhere'", "exchange 'lonely' has no queue for the routing key 'k'",
             "there is no queue 'elsewhere', which has no_declare"], strict=False,
        )
    ]  # fmt: skip
