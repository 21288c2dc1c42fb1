"""Lost connections, answers and scripts, and forks: nothing is lost or done twice."""

import asyncio
import threading
import time

import pytest

from canvas import Canvas, Workflow, chord, group
from canvas.drivers import open_driver
from canvas.drivers.ports.values import Lease
from canvas.drivers.redis.connection import pauses
from canvas.drivers.redis.connection.script_texts import script
from canvas.errors import OperationalError, RefusedError
from canvas.model.settlement import ChordStart, ResultWrite
from canvas.testing.contract import envelope, eventually, ids, publish
from tests.support.interrupted import interrupt
from tests.support.lost_answers import answers_lost
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer, free_port
from tests.support.timing import quickest


def test_scripts_come_back_after_a_flush(driver, redis_server):
    driver.broker.publish([publish("a"), publish("b")])
    assert driver.broker.lease(Lease("w", ["q"], 1))
    redis_server.client().script_flush()
    assert ids(driver.broker.lease(Lease("w", ["q"], 1))) == ["b"]


def test_a_wait_survives_its_connections(driver, redis_server):
    found = []

    def work():
        while not found:
            try:
                driver.broker.wait("w", ["q"], 5)
            except OperationalError:
                continue
            found.extend(driver.broker.lease(Lease("w", ["q"], 1)))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    client = redis_server.client()
    eventually(lambda: any(c["cmd"] == "blmove" for c in client.client_list()))
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    eventually(lambda: client.lpush("q", envelope("a")))
    thread.join(10)
    assert ids(found) == ["a"]


def test_a_wait_whose_connection_is_cut_as_it_opens_can_be_tried_again(driver, redis_server, monkeypatch):
    """The server goes away between a connection's opening and its first answer."""
    real, cut = driver.broker.link.connection, []

    def connection():
        wire = real()
        if not cut:
            cut.append(wire)
            client = redis_server.client()
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        return wire

    monkeypatch.setattr(driver.broker.link, "connection", connection)
    with pytest.raises(OperationalError):
        driver.broker.wait("w", ["q"], 5)
    driver.broker.publish([publish("a")])
    assert driver.broker.wait("w", ["q"], 5)
    assert ids(driver.broker.lease(Lease("w", ["q"], 1))) == ["a"]


def test_a_watch_survives_its_connection(driver, redis_server):
    with driver.results.watch(["a"]) as watch:
        redis_server.client().execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        driver.results.store([ResultWrite("a", b"while away", 60, True)])
        assert watch.next(10) == ("a", b"while away")


async def test_an_awaited_watch_survives_its_connection(driver, redis_server):
    async with driver.results.awatch(["a"]) as watch:
        redis_server.client().execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        driver.results.store([ResultWrite("a", b"while away", 60, True)])
        assert await watch.next(10) == ("a", b"while away")


POLICY = {"retry_policy": {"max_retries": 3, "interval_start": 0, "interval_step": 0.01}}


@pytest.mark.parametrize("options", [{}, POLICY], ids=["own", "policy"])
@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(("work", "script_name", "sent"), [
    ("task", "publish", 1), ("chain", "publish", 1), ("group", "publish", 3), ("chord", "publish_with_chords", 1),
    ("chord elsewhere", "publish", 1), ("unique", "publish_unique", 1), ("workflow", "publish_with_chords", 1),
])  # fmt: skip
def test_what_is_sent_and_whose_answer_was_lost_is_sent_once(
    driver, redis_server, work, script_name, sent, awaited, options
):
    """A first request was even done when the client asked again, twice."""
    asked = []

    def lose_two(request):
        if request.name != script_name:
            return None
        asked.append(request)
        return (lambda answer: proxy.cut()) if len(asked) <= 2 else None

    with Proxy(redis_server.port, lose_two) as proxy, RedisServer() as other:
        results = other.url(1) if work == "chord elsewhere" else proxy.url(1)
        app = Canvas("s", broker=proxy.url(0), backend=results, task_default_queue="q")
        redis_server.client().script_load(script(script_name)[0])
        part = app.signature("t.part")
        flow = Workflow("flow", app)
        flow.add(part)
        unique = app.task(name="t.unique", unique_for=60)(lambda: None)
        signature = {
            "task": part, "chain": part | app.signature("t.next"), "group": group([part] * 3), "unique": unique.s(),
            "workflow": flow,
        }.get(work) or chord([part], app.signature("t.body"))  # fmt: skip
        options = {} if work == "workflow" else options
        if awaited:
            asyncio.run(signature.aapply_async(**options))
        else:
            signature.apply_async(**options)
        app.close()
    assert len(asked) == 3
    assert driver.admin.queue_length("q") == sent


def test_a_request_that_arrives_after_its_repetition_does_nothing(driver, redis_server):
    """Not even when more has been sent since."""
    calls = []
    call = driver.broker.link.call

    def lose_the_first(name, keys, arguments, **how):
        calls.append((name, keys, arguments))
        if len(calls) == 1:
            raise OperationalError("it is still on its way")
        return call(name, keys, arguments, **how)

    driver.broker.link.call = lose_the_first
    driver.broker.publish([publish("a")])
    driver.broker.publish([publish("b")])
    call(*calls[0])
    assert ids(driver.broker.lease(Lease("w", ["q"], 9))) == ["a", "b"]


def test_a_start_that_is_refused_says_so_also_when_the_first_answer_was_lost(driver, redis_server):
    redis_server.client().set("q", "no list")
    asked = []

    def lose_the_first(request):
        if request.name == "publish_with_chords":
            asked.append(request)
            return (lambda answer: proxy.cut()) if len(asked) == 1 else None
        return None

    with Proxy(redis_server.port, lose_the_first) as proxy:
        again = open_driver(proxy.url(0), proxy.url(1))
        redis_server.client().script_load(script("publish_with_chords")[0])
        with pytest.raises(RefusedError):
            again.settler.publish_with_chords([ChordStart("g", 1, 60)], [publish("a")])
        again.broker.close()
    assert len(asked) == 2


def test_a_lease_whose_answer_was_lost_is_found_again(driver, redis_server):
    driver.broker.publish([publish("a"), publish("b")])
    with answers_lost(driver), pytest.raises(OperationalError):
        driver.broker.lease(Lease("w", ["q"], 1))
    assert ids(driver.broker.lease(Lease("w", ["q"], 5))) == ["a", "b"]
    assert redis_server.client().hlen("unacked") == 2


@pytest.mark.parametrize(
    ("options", "least", "most"),
    [
        ({"retry": False}, 0.0, 3.0),
        (
            {"retry_policy": {"max_retries": 3, "interval_start": 0.1, "interval_step": 0.1, "interval_max": 0.2}},
            0.5,
            2.0,
        ),
    ],
)
def test_publishing_is_tried_again_as_the_call_says(options, least, most):
    app = Canvas("away", broker=f"redis://127.0.0.1:{free_port()}/0", backend="disabled://", set_as_current=False)

    def given_up_in():
        started = time.monotonic()
        with pytest.raises(OperationalError):
            app.send_task("t", **options)
        return time.monotonic() - started

    assert least <= quickest(given_up_in, most) < most


def test_a_policy_outlasts_a_restart():
    with RedisServer() as server:
        app = Canvas("back", broker=server.url(0), backend="disabled://", set_as_current=False)
        server.stop()
        threading.Timer(0.3, server.start).start()
        policy = {"max_retries": 1000, "interval_start": 0.05, "interval_step": 0, "interval_max": 0.05}
        app.send_task("t", retry_policy=policy)
        assert server.client().llen("celery") == 1
        app.close()


@pytest.mark.parametrize(
    ("away", "text"),
    [("broker", "its queue cannot be read: Redis at"), ("store", "its state cannot be read: Redis at")],
)
def test_a_wait_that_times_out_names_the_server_that_is_away(away, text, redis_url, monkeypatch):
    for name in ("FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(pauses, name, 5.0)  # seconds at most between two tries of a driver
    with RedisServer() as server:
        urls = {"broker": redis_url, "store": redis_url, away: server.url(0)}
        app = Canvas("away", broker=urls["broker"], backend=urls["store"], set_as_current=False)
        result = app.send_task("t", queue="away")
        started = time.monotonic()
        with pytest.raises(TimeoutError, match=text):
            result.get(timeout=0.5, on_interval=server.stop)  # it goes away while it is waited for
        with pytest.raises(TimeoutError, match=text):
            asyncio.run(result.aget(timeout=0.5))
        assert time.monotonic() - started < 20, "the drivers tried again"
        app.close()


def test_a_reply_to_one_who_died_expires(redis_server, redis_url, result_url):
    driver = open_driver(redis_url, result_url)
    with driver.bus.replies("reply.x", "asker"):
        driver.bus.reply("reply.x", "asker", b"{}")
        client = redis_server.client()
        lists = [key for key in client.keys() if client.type(key) == b"list"]
        assert [client.ttl(key) > 0 for key in lists] == [True]


@pytest.mark.parametrize("ending", ["unregister", "stop_waiting", "release_prefetched"])
def test_waits_end_though_their_connections_were_cut(redis_server, redis_url, result_url, ending):
    driver = open_driver(redis_url, result_url)
    driver.recovery.heartbeat("w", ["q"], 60)
    assert not driver.broker.wait("w", ("q",), 0.2)
    redis_server.client().execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    getattr(driver.recovery if ending == "unregister" else driver.broker, ending)("w")
    driver.broker.publish([publish("a")])
    eventually(lambda: driver.admin.queue_length("q") == 1)
    assert ids(driver.broker.lease(Lease("w", ["q"], 1))) == ["a"]


def test_queues_are_found_among_other_lists(redis_server, redis_url):
    """Each look goes through a part of the keys; lists of other programs and of other prefixes are no queues."""
    client = redis_server.client()
    with Canvas("found", broker=redis_url, broker_transport_options={"global_keyprefix": "a[b]*"}) as app:
        app.driver.broker.publish([publish("a"), publish("b", "urgent", priority=9)])
        client.rpush("ab", publish("c").payload)
        client.rpush("a[b]*notes", "text", b"\xff\x00")
        client.mset({f"a[b]*{number}": "" for number in range(5_000)})
        looks = [set(app.driver.admin.find_queues()) for _ in range(6)]
        assert set().union(*looks) == {"q", "urgent"}


@pytest.mark.parametrize("what", ["numbers", "connections", "waits"])
def test_a_signal_may_interrupt_a_command(what, redis_url):
    """Its handler raises, as at a soft time limit, Ctrl-C or an alarm: hiredis would crash the process where it writes a number,
    and the connection of a call that is broken off does not count as open. Whatever it raises ends a wait."""
    assert interrupt(what, redis_url) == 0
