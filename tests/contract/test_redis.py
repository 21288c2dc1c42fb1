"""What is Redis' own: URLs, lost scripts and connections, forks, and sharing keys with kombu and Celery."""

import asyncio
import json
import os
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import celery
import pytest

from canvas import Canvas, Workflow, chord, group
from canvas.drivers import open_driver
from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.ports.values import Lease
from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.connection.script_texts import script
from canvas.drivers.redis.url import parse
from canvas.drivers.two_step import TwoStepSettler
from canvas.errors import BrokerError, ConfigurationError, OperationalError, RefusedError
from canvas.model.queue import Queue
from canvas.model.settlement import ChordStart, DelayedPublish, Part, ResultWrite, Settlement, SpeculativeDispatch
from canvas.testing.contract import chord_end, envelope, eventually, ids, publish
from canvas.wire import record
from tests.support import messages
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer, free_port
from tests.support.timing import quickest
from tests.support.tls import TlsFront


@pytest.fixture
def driver(redis_url, result_url):
    driver = open_driver(redis_url, result_url)
    yield driver
    driver.broker.close()
    driver.results.close()


# -- URLs


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", {"host": "localhost", "port": 6379, "db": 0}),
        ("redis://h:1/3", {"host": "h", "port": 1, "db": 3}),
        ("redis://me:p%40ss@h", {"username": "me", "password": "p@ss", "host": "h"}),
        ("redis://:pw@h/2", {"username": None, "password": "pw", "db": 2}),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", {"ssl": True, "options": {"ssl_cert_reqs": "none"}}),
        ("redis+socket:///tmp/r.sock?virtual_host=4", {"path": "/tmp/r.sock", "db": 4}),
        ("unix:///tmp/r.sock?db=5&password=x", {"path": "/tmp/r.sock", "db": 5, "password": "x"}),
        ("redis://h?socket_timeout=3&health_check_interval=7", {"options": {"socket_timeout": 3.0, "health_check_interval": 7.0}}),
    ],
)  # fmt: skip
def test_urls(url, expected):
    found = parse(url, {})
    assert {key: getattr(found, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("settings", "broker", "results"),
    [
        ({"broker_use_ssl": {"ssl_cert_reqs": "CERT_NONE"}}, {"ssl": True, "ssl_cert_reqs": "none"}, {"ssl": False}),
        ({"redis_backend_use_ssl": True}, {"ssl": False}, {"ssl": True}),
        ({"broker_transport_options": {"socket_timeout": 3, "client_name": "me"}}, {"socket_timeout": 3, "client_name": "me"}, {}),
        ({"redis_socket_timeout": 4.0, "redis_socket_keepalive": True}, {}, {"socket_timeout": 4.0, "socket_keepalive": True}),
        ({"result_backend_transport_options": {"health_check_interval": 5}}, {}, {"health_check_interval": 5}),
    ],
)  # fmt: skip
def test_settings_of_connections(settings, broker, results):
    app = Canvas("settings", broker="redis://h/0", backend="redis://h/1", **settings)
    for link, expected in (app.driver.broker.link, broker), (app.driver.results.link, results):
        # A third of the time in which a worker has to be heard of.
        address, wanted = link.address, {"socket_timeout": 10.0, **expected}
        assert address.ssl is wanted.pop("ssl", False)
        assert address.options == wanted


def test_sentinels_have_options_of_their_own():
    options = {"master_name": "m", "sentinel_kwargs": {"password": "secret"}, "min_other_sentinels": 1}
    found = parse("sentinel://:master@a:1/2", options)
    assert (found.password, found.options) == ("master", {})
    assert found.sentinel_options == {"password": "secret", "min_other_sentinels": 1}
    assert "secret" not in repr(found)


def test_sentinel_urls_as_celery_writes_them():
    url = "sentinel://:pw@a:26379/1;sentinel://b:26380"
    found = parse(url, {"master_name": "main", "sentinel_kwargs": {"x": 1}})
    assert (found.sentinels, found.master, found.db, found.password) == ((("a", 26379), ("b", 26380)), "main", 1, "pw")
    with pytest.raises(ConfigurationError, match="master_name"):
        parse(url, {})


@pytest.mark.parametrize("url", ["redis://h/x", "http://h", "redis://h:port/0", "redis://h:99999/0"])
def test_bad_urls_are_refused_without_their_password(url):
    with pytest.raises(ConfigurationError) as caught:
        parse(url.replace("//h", "//me:hunter2@h"), {})
    assert "hunter2" not in str(caught.value)


def test_the_password_is_in_no_repr():
    assert "hunter2" not in repr(parse("redis://me:hunter2@h", {}))


def test_a_password_that_the_server_does_not_ask_for(redis_server):
    """As with redis-py 8: the default user of such a server takes any password."""
    for login in (":unasked", "default:unasked"):
        url = f"redis://{login}@127.0.0.1:{redis_server.port}/0"
        driver = open_driver(url, url)
        driver.broker.publish([publish("a")])
        driver.results.get(["a"])
        assert driver.admin.queue_length("q") == 1
        driver.admin.purge("q")
        driver.close()


def test_a_password_is_used():
    with RedisServer("--requirepass", "hunter2") as server:
        good, bad = (f"redis://:{word}@127.0.0.1:{server.port}/0" for word in ("hunter2", "wrong"))
        driver = open_driver(good, good)
        driver.broker.publish([publish("a")])
        assert driver.admin.queue_length("q") == 1
        with pytest.raises(BrokerError, match="refused") as caught:
            open_driver(bad, bad).admin.queue_length("q")
        assert "wrong" not in str(caught.value)


# -- losses


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


def commands_in(call, redis_server):
    """How many commands a script runs, by their names."""
    client = redis_server.client()
    client.config_resetstat()
    call()
    stats = client.info("commandstats")
    asked = {"cmdstat_evalsha", "cmdstat_eval", "cmdstat_info", "cmdstat_config|resetstat"}
    return {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items() if name not in asked}


def settlements_of(lease, parts):
    for number, delivery in enumerate(lease.deliveries):
        of_chord = [Part("g", str(number), number, b"[%d]" % number, b"end", 60)] if parts else []
        yield Settlement(delivery, stores=[ResultWrite(str(number), SUCCESS, 60, True)], parts=of_chord)


SUCCESS = b'{"status":"SUCCESS"}'


@pytest.mark.parametrize(("parts", "each"), [(False, 2), (True, 6)], ids=["tasks", "parts of a chord"])
def test_commands_of_a_batch(driver, redis_server, parts, each):
    """A batch shares all but what each task needs: its record, its announcement, its part with its lease."""
    count, lease = 50, Lease("w", ["q"], 50)
    if parts:
        driver.settler.publish_with_chords([ChordStart("g", count + 1, 60)], [])
    driver.broker.publish([publish(str(number)) for number in range(count)])
    settlements = list(settlements_of(driver.settler.settle([], lease).leased, parts))
    found = commands_in(lambda: driver.settler.settle(settlements, lease), redis_server)
    assert sum(found.values()) <= count * each + 30, found


def test_long_records_are_passed_apart(driver, redis_server):
    """Each keeps its place, also where one has a failure before it, and where one is refused."""
    lease, results = Lease("w", ["q"], 5), redis_server.client(1)
    driver.broker.publish([publish(str(number)) for number in range(5)])
    records = [b'{"status":"SUCCESS","result":"%s"}' % (b"%d" % number * size) for number, size in enumerate(SIZES)]
    settlements = [
        settlement._replace(stores=[settlement.stores[0]._replace(payload=payload)])
        for settlement, payload in zip(
            settlements_of(driver.settler.settle([], lease).leased, False), records, strict=True
        )
    ]
    results.set("celery-task-meta-2", b'{"status":"FAILURE"}')
    results.lpush("celery-task-meta-4", b"no record")
    with redis_server.client().monitor() as monitor:
        settled = driver.settler.settle(settlements)
        call = next(said["command"] for said in monitor.listen() if said["command"].startswith("EVALSHA"))
    assert call.count(' {"status":"SUCCESS"') == 3
    assert [verdict.held for verdict in settled.verdicts] == [True, True, True, True, False]
    assert [results.get(f"celery-task-meta-{number}") for number in range(4)] == records[:4]
    assert driver.broker.link.command("HLEN", "unacked") == 1


SIZES = (10, 100_000, 50_000, 10, 70_000)


def test_commands_of_a_link(driver, redis_server):
    """It is settled and the next one leased in one call."""
    lease = Lease("w", ["q"], 1)
    driver.broker.publish([publish("a")])
    (settlement,) = settlements_of(driver.settler.settle([], lease).leased, False)
    settlement = settlement._replace(publishes=[publish("b")])
    found = commands_in(lambda: driver.settler.settle([settlement], lease), redis_server)
    assert sum(found.values()) <= 14, found


@pytest.mark.parametrize(("sent", "pops"), [([], 0), (["q1"], 2), (["q0", "q2"], 3)])
def test_a_lease_asks_no_further_than_the_last_list_with_messages(driver, redis_server, sent, pops):
    driver.broker.publish([publish(queue, queue=queue) for queue in sent])
    queues, leased = [f"q{number}" for number in range(50)], []
    found = commands_in(lambda: leased.extend(driver.broker.lease(Lease("w", queues, 9))), redis_server)
    assert (found.get("rpop", 0), found["exists"], ids(leased)) == (pops, 1, sent)


def test_messages_of_many_lists_go_in_one_call(driver, redis_server):
    driver.broker.publish([publish("first")])
    redis_server.client().config_resetstat()
    driver.broker.publish([publish(str(n), queue=f"q{n}", priority=n % 10) for n in range(50)])
    assert redis_server.client().info("commandstats")["cmdstat_evalsha"]["calls"] == 1


def test_what_is_sent_shares_few_guards(driver, redis_server):
    for name in "abc":
        driver.broker.publish([publish(name)])
    driver.settler.publish_with_chords([ChordStart("g", 1, 60)], [publish("d")])
    (guard,) = redis_server.client().keys("canvas:idempotency:*")
    assert 0 < redis_server.client().ttl(guard) <= 3600


def test_many_messages_of_many_lists_keep_their_order(driver):
    """Though they take several calls."""
    sent = [publish(f"{queue}{n}", queue=queue) for n in range(2_500) for queue in ("q", "r")]
    driver.broker.publish(sent)
    for queue in ("q", "r"):
        leased = driver.broker.lease(Lease("w", [queue], 9_999))
        assert ids(leased) == [f"{queue}{n}" for n in range(2_500)]


def test_the_messages_of_a_large_chord_keep_their_order(driver, redis_server):
    """Several calls carry them: a single one would block the server for long."""
    sent = [publish(str(number), ("q", "q2")[number % 2]) for number in range(4_500)]
    redis_server.client().config_resetstat()
    driver.settler.publish_with_chords([ChordStart("g", 4_500, 60)], sent)
    stats = redis_server.client().info("commandstats")
    calls = sum(stats[name]["calls"] for name in ("cmdstat_eval", "cmdstat_evalsha") if name in stats)
    assert 5 <= calls <= 7, "five, and one more for each script that the server does not have yet"
    assert ids(driver.broker.lease(Lease("w", ["q"], 4_500))) == [str(number) for number in range(0, 4_500, 2)]
    assert ids(driver.broker.lease(Lease("w", ["q2"], 4_500))) == [str(number) for number in range(1, 4_500, 2)]


@contextmanager
def answers_lost(driver):
    """What scripts do is done, and nobody hears of it."""
    link = driver.broker.link
    original = link.call

    def cut(*call, **how):
        original(*call, **how)
        raise OperationalError("the answer was lost")

    link.call = cut
    try:
        yield
    finally:
        link.call = original


def test_a_lease_whose_answer_was_lost_is_found_again(driver, redis_server):
    driver.broker.publish([publish("a"), publish("b")])
    with answers_lost(driver), pytest.raises(OperationalError):
        driver.broker.lease(Lease("w", ["q"], 1))
    assert ids(driver.broker.lease(Lease("w", ["q"], 5))) == ["a", "b"]
    assert redis_server.client().hlen("unacked") == 2


def test_an_unreachable_server_is_said_by_name():
    driver = open_driver("redis://127.0.0.1:1/0", "redis://127.0.0.1:1/1")
    with pytest.raises(OperationalError, match=r"127\.0\.0\.1:1"):
        driver.broker.publish([publish("a")])


def test_the_server_may_restart(driver):
    with RedisServer() as server:
        driver = open_driver(server.url(0), server.url(1))
        driver.broker.publish([publish("a")])
        server.stop()
        timer = threading.Timer(0.5, server.start)
        timer.start()
        driver.broker.publish([publish("b")])
        timer.join()
        assert driver.admin.queue_length("q") == 1


def test_a_forked_child_makes_connections_of_its_own(driver, redis_server):
    driver.broker.publish([publish("parent")])
    pid = os.fork()
    if pid == 0:
        try:
            driver.broker.publish([publish("child")])
            os._exit(0 if driver.admin.queue_length("q") == 2 else 1)
        except BaseException:  # noqa: BLE001 - a forked child must not return into pytest
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert driver.admin.queue_length("q") == 2


def test_an_idle_connection_that_was_cut_is_not_used_again(driver, redis_server):
    """Not even by a call that is made only once."""
    driver.broker.publish([publish("a")])
    redis_server.client().execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    driver.broker.publish([publish("b")], delays=())
    assert ids(driver.broker.lease(Lease("w", ["q"], 2))) == ["a", "b"]


@pytest.mark.parametrize("transaction", [False, True])
def test_one_refused_command_does_not_shift_the_answers_of_the_next(driver, redis_server, transaction):
    link = driver.broker.link
    commands = [("SET", "text", "x"), ("LPUSH", "text", "y"), ("GET", "text"), ("NONSENSE",)][: 4 - transaction]
    watcher = redis_server.client()
    before = {c["id"] for c in watcher.client_list()}
    with pytest.raises(BrokerError, match="WRONGTYPE"):
        link.pipeline(commands, transaction=transaction)
    assert link.command("GET", "text") == b"x"
    assert link.pipeline([("GET", "text"), ("SET", "text", "z"), ("GET", "text")], transaction) == [b"x", True, b"z"]
    with pytest.raises(BrokerError, match="unknown command"):
        link.pipeline([("GET", "text"), ("NONSENSE",)], transaction=transaction)
    assert link.command("GET", "text") == b"z"
    assert len({c["id"] for c in watcher.client_list()} - before) <= 1


def test_who_waits_for_a_chord_is_sent_its_body_only(redis_server, redis_url, result_url):
    app = Canvas("w", broker=redis_url, backend=result_url)
    header = app.GroupResult("g", [app.AsyncResult("m1"), app.AsyncResult("m2")])
    with ThreadPoolExecutor(1) as client:
        waiting = client.submit(app.AsyncResult("body", parent=header).get, timeout=30)
        listening = redis_server.client()
        channels = [f"celery-task-meta-{task_id}".encode() for task_id in ("body", "m1", "m2")]
        eventually(lambda: listening.pubsub_numsub(*channels) == [(channels[0], 1), (channels[1], 0), (channels[2], 0)])
        app.backend.store_result("m1", "x" * 100_000, "SUCCESS")
        app.backend.store_result("m2", KeyError("gone"), "REVOKED")
        with pytest.raises(KeyError):
            waiting.result(30)
    app.close()


def test_waiting_again_and_again_listens_on_one_connection(driver, redis_server, redis_url, result_url):
    app, server = Canvas("w", broker=redis_url, backend=result_url), redis_server.client()

    def subscribed():
        return {client["id"] for client in server.client_list(_type="pubsub")}

    others = subscribed()

    def wait(number):
        with ThreadPoolExecutor(1) as client:
            waiting = client.submit(app.AsyncResult(f"t{number}").get, timeout=30)
            channel = f"celery-task-meta-t{number}".encode()
            eventually(lambda: server.pubsub_numsub(channel) == [(channel, 1)])
            listening = subscribed() - others
            app.backend.store_result(f"t{number}", number, "SUCCESS")
            assert waiting.result(30) == number
        eventually(lambda: server.pubsub_numsub(channel) == [(channel, 0)])
        return listening

    first = wait(0)
    assert len(first) == 1
    assert [wait(number) for number in range(1, 6)] == [first] * 5
    assert [app.AsyncResult(f"t{number}").get(timeout=10) for number in range(6)] == list(range(6))
    server.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    server.execute_command("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")
    wait(7)
    app.close()


# -- keys that hold something else


@pytest.mark.parametrize("stepwise", [False, True])
@pytest.mark.parametrize("wrong", ["result", "part", "score", "queue", "text"])
def test_what_redis_refuses_is_refused_alone(driver, redis_server, stepwise, wrong):
    settler = TwoStepSettler(driver.broker, driver.results, driver.chords) if stepwise else driver.settler
    results = redis_server.client(1)
    driver.broker.publish([publish("a"), publish("b"), publish("c")])
    bad, good = driver.broker.lease(Lease("w", ["q"], 2))
    store = ResultWrite("a", b"record", 60, True)
    settlement = Settlement(bad, stores=[store], publishes=[publish("d")])
    match wrong:
        case "result":
            results.lpush("celery-task-meta-a", "x")
        case "part":
            results.set("celery-taskset-meta-g.j", "x")
            settlement = settlement._replace(parts=[Part("g", "a", 0, b"[]", b"{}", 60, 2)])
        case "score":
            settlement = settlement._replace(parts=[Part("g", "a", "first", b"[]", b"{}", 60, 2)])
        case "queue":
            redis_server.client().set("other", "x")
            settlement = settlement._replace(publishes=[publish("d", queue="other")])
        case "text":
            settlement = settlement._replace(publishes=[publish("d", queue="\ud800")])
    settled = settler.settle([settlement, Settlement(good, publishes=[publish("e")])], Lease("w", ["q"], 5))
    assert [verdict.held for verdict in settled.verdicts] == [False, True]
    assert settled.verdicts[0].refused
    assert not settled.verdicts[1].refused
    assert ids(settled.deliveries) == ["c", "e"]
    buried = Settlement(bad, disposal="dead_letter", reason="refused")
    assert settler.settle([buried]).verdicts[0].held
    (letter,) = driver.admin.dead_letters("q")
    assert letter.payload == bad.payload


@pytest.mark.parametrize("stepwise", [False, True])
def test_a_chord_whose_end_redis_refuses_stays_ready(driver, redis_server, stepwise):
    settler = TwoStepSettler(driver.broker, driver.results, driver.chords) if stepwise else driver.settler
    driver.broker.publish([publish("a")])
    (only,) = driver.broker.lease(Lease("w", ["q"], 1))
    part = Part("g", "a", 0, b"[1]", b"{}", 60, 1)
    (ready,) = settler.settle([Settlement(only, parts=[part])]).verdicts[0].ready
    redis_server.client().set("other", "x")
    bad, good = (chord_end("g", publish("body", queue=queue)) for queue in ("other", "q"))
    assert "WRONGTYPE" in settler.settle([], None, [bad]).dispatched[0].refused
    assert settler.stale_ready_chords(0) == [ready]
    assert settler.settle([], None, [good]).dispatched[0].held
    assert settler.stale_ready_chords(0) == []


def test_an_end_that_was_foreseen_takes_no_call_of_its_own(driver):
    driver.broker.publish([publish("a"), publish("b"), publish("c")])
    first, last, waiting = driver.broker.lease(Lease("w", ["q"], 3))
    assert [driver.coordination.acquire_permit("key", 1, delivery) for delivery in (last, waiting)] == [True, False]
    parts = [Part("inner", name, at, b"[]", b"{}", 60, 2) for at, name in enumerate("ab")]
    outer = Part("outer", "inner", 0, b"[1]", b"{}", 60, 1)
    foreseen = [SpeculativeDispatch.of(chord_end("inner", publish("d"), parts=[outer]), [b"[]", b"[] "])]
    end = Settlement(
        last, parts=parts[1:], speculative=foreseen, disposal="dead_letter", reason="why not", releases_permits=["key"]
    )
    settled = driver.settler.settle([Settlement(first, parts=parts[:1]), end], Lease("w", ["q"], 5))
    assert [verdict.ended for verdict in settled.verdicts] == [(), ["inner"]]
    assert [[ready.group_id for ready in verdict.ready] for verdict in settled.verdicts] == [[], ["outer"]]
    assert sorted(ids(settled.deliveries)) == ["c", "d"]
    assert [letter.reason for letter in driver.admin.dead_letters("q")] == ["why not"]


@pytest.mark.parametrize("wrong", ["value", "type"])
def test_a_foreseen_end_that_cannot_be_is_handed_out(driver, redis_server, wrong):
    driver.broker.publish([publish("a")])
    (only,) = driver.broker.lease(Lease("w", ["q"], 1))
    part = Part("g", "a", 0, b"[]", b"{}", 60, 1)
    if wrong == "type":
        redis_server.client().set("elsewhere", "no list")
    body = publish("b", queue={"value": "\ud800", "type": "elsewhere"}[wrong])
    settlement = Settlement(only, parts=[part], speculative=[SpeculativeDispatch.of(chord_end("g", body), [b"[]"])])
    (verdict,) = driver.settler.settle([settlement]).verdicts
    assert (verdict.held, list(verdict.ended)) == (True, [])
    assert [ready.group_id for ready in verdict.ready] == ["g"]
    assert driver.settler.settle([], None, [chord_end("g", publish("b"))]).dispatched[0].held


def test_a_queue_that_is_no_list_keeps_nobody_from_the_others(driver, redis_server):
    redis_server.client().set("bad", "x")
    driver.broker.publish([publish("a")])
    assert ids(driver.broker.lease(Lease("w", ["bad", "q"], 5))) == ["a"]


# -- successors


def leased_with(driver, publishes, limit=5, queues=("q",)):
    """What a settlement's own call leases, of what it publishes and of what waits."""
    driver.broker.publish([publish("before", "elsewhere")])
    (held,) = driver.broker.lease(Lease("w", ["elsewhere"], 1))
    settled = driver.settler.settle([Settlement(held, publishes=publishes)], Lease("w", list(queues), limit))
    assert settled.verdicts[0].held
    return settled.deliveries


def test_a_successor_is_leased_as_it_is_sent_and_never_lies_in_its_queue(driver, redis_server):
    sent = publish("a", priority=4)
    client = redis_server.client()
    with client.monitor() as watched:
        found = leased_with(driver, [sent])
        client.echo("that is all")
        seen = []
        while "that is all" not in (command := watched.next_command()["command"]):
            seen.append(command)
    assert [(one.queue, one.payload) for one in found] == [("q", sent.payload)]
    assert not [command for command in seen if command.startswith(("LPUSH q", "RPOP q"))]
    driver.broker.publish([publish("d")])
    found += driver.broker.lease(Lease("w", ["q"], 1))
    held = redis_server.client().hgetall("unacked")
    assert {one.tag.encode(): b'[%b,"","q"]' % one.payload for one in found} == held
    assert redis_server.client().zcard("unacked_index") == len(held) == 2
    assert [verdict.held for verdict in driver.settler.settle(list(map(Settlement, found))).verdicts] == [True] * 2
    assert not redis_server.client().hlen("unacked")


@pytest.mark.parametrize("queue", ["q", 'a "quoted" one', "größe"])
def test_a_leased_successor_is_restored_as_any(driver, redis_server, queue):
    (found,) = leased_with(driver, [publish("a", queue)], queues=[queue])
    assert json.loads(redis_server.client().hget("unacked", found.tag))[1:] == ["", queue]
    assert driver.broker.release([found]) == 1
    (again,) = driver.broker.lease(Lease("w", [queue], 5))
    assert (ids([again]), again.queue) == (["a"], queue)


def test_a_successor_waits_behind_what_waits(driver):
    driver.broker.publish([publish("first"), publish("urgent", priority=0), publish("late", priority=9)])
    assert ids(leased_with(driver, [publish("a")])) == ["first", "urgent", "a", "late"]


def test_several_successors_keep_their_order(driver):
    sent = [publish("low", priority=9), publish("a", priority=3), publish("high"), publish("b", priority=3)]
    assert ids(leased_with(driver, sent)) == ["high", "a", "b", "low"]
    assert ids(leased_with(driver, [publish("low", priority=9), publish("high")], limit=1)) == ["high"]
    sent = [publish("q2", "q2"), publish("q1", "q1")]
    assert ids(leased_with(driver, sent, limit=1, queues=["q1", "q2"])) == ["q1"]


def test_a_place_that_is_free_goes_to_who_waits_for_it_before_a_successor(driver):
    driver.broker.publish([publish("holds"), publish("waits")])
    holds, waits = driver.broker.lease(Lease("w", ["q"], 2))
    assert driver.coordination.acquire_permit("k", 1, holds)
    assert not driver.coordination.acquire_permit("k", 1, waits)
    settlement = Settlement(holds, publishes=[publish("next")], releases_permits=["k"])
    assert ids(driver.settler.settle([settlement], Lease("w", ["q"], 1)).deliveries) == ["waits"]


def test_a_successor_of_another_queue_or_beyond_the_limit_is_sent(driver):
    assert leased_with(driver, [publish("x", "other")]) == []
    assert leased_with(driver, [publish("d")], limit=0) == []
    assert ids(driver.broker.lease(Lease("w", ["q", "other"], 5))) == ["d", "x"]


def test_a_message_that_is_leased_as_it_is_written_is_counted(driver):
    driver.broker.publish([publish("before", "elsewhere")])
    (held,) = driver.broker.lease(Lease("w", ["elsewhere"], 1))
    settled = driver.settler.settle([Settlement(held, publishes=[publish("a")])], Lease("w", ["q"], 5))
    assert (ids(settled.deliveries), settled.leased.passed_through) == (["a"], 1)
    driver.broker.publish([publish("b")])
    settled = driver.settler.settle([Settlement(settled.deliveries[0])], Lease("w", ["q"], 5))
    assert (ids(settled.deliveries), settled.leased.passed_through) == (["b"], 0)


def test_a_successor_whose_lease_was_not_heard_of_is_found_again(driver, redis_server):
    driver.broker.publish([publish("before", "elsewhere")])
    (held,) = driver.broker.lease(Lease("w", ["elsewhere"], 1))
    settlement = Settlement(held, publishes=[publish("a")])
    with answers_lost(driver), pytest.raises(OperationalError):
        driver.settler.settle([settlement], Lease("w", ["q"], 5))
    settled = driver.settler.settle([settlement], Lease("w", ["q"], 5))
    assert not settled.verdicts[0].held
    assert ids(settled.deliveries) == ["a"]
    assert redis_server.client().hlen("unacked") == 1


def test_a_deferred_message_that_its_queue_refuses_is_a_dead_letter(driver, redis_server):
    """Others that are due go where they belong."""
    client = redis_server.client()
    client.set("no-list", "text")
    deferrals = [DelayedPublish(1.0, publish("a", "no-list")), DelayedPublish(2.0, publish("b"))]
    driver.settler.settle([Settlement(None, fence="none", deferrals=deferrals)])
    assert driver.broker.enqueue_due(10) == 2
    assert ids(driver.broker.lease(Lease("w", ["q"], 5))) == ["b"]
    (letter,) = driver.admin.dead_letters("no-list")
    assert letter.queue == "no-list" and "WRONGTYPE" in letter.reason
    assert driver.broker.enqueue_due(10) == 0


def test_what_a_celery_worker_held_goes_back_by_its_exchange(driver, redis_server):
    driver.broker.declare([Queue("videos", "media", "video.#", "topic"), Queue("copies", "media", "video.#", "topic")])
    client = redis_server.client()
    for tag, exchange in ("known", "media"), ("unknown", "gone"):
        client.hset("unacked", tag, json.dumps([json.loads(envelope(tag)), exchange, "video.short"]))
        client.zadd("unacked_index", {tag: 1.0})
    driver.recovery.tags("", ["known", "unknown"])
    assert [client.llen(name) for name in ("videos", "copies", "video.short")] == [1, 1, 0]
    # Nobody knows where it belongs: it is kept.
    assert client.hkeys("unacked") == [b"unknown"]


# -- kombu and Celery on the same keys


def celery_app(redis_server, **options):
    app = celery.Celery("k", broker=redis_server.url(0), backend=redis_server.url(1), set_as_current=False)
    app.conf.broker_transport_options = options
    return app


def test_a_record_shows_as_in_celery(redis_server, redis_url, result_url):
    app, theirs = Canvas("k", broker=redis_url, backend=result_url), celery_app(redis_server).backend
    child = (("child", None), None)
    stored = [
        record.Record("good", "SUCCESS", {"n": [1]}, None, [child], "2026-01-01T00:00:00+00:00", "g", "p"),
        record.Record("bad", "FAILURE", KeyError("x"), "Traceback …", [], "2026-01-01T00:00:00+00:00"),
        record.Record("odd", "PROGRESS", {"done": 3}, extra={"name": "t", "retries": 2}),
    ]
    app.driver.results.store([app.backend.store_of(one) for one in stored])
    for task_id in ("good", "bad", "odd", "nothing"):
        ours, expected = app.backend.get_task_meta(task_id), theirs.get_task_meta(task_id)
        assert repr(ours.pop("result")) == repr(expected.pop("result"))
        assert app.backend.get_children(task_id) == theirs.get_children(task_id)
        assert ours == expected
        assert app.backend.get_state(task_id) == theirs.get_state(task_id)
        assert repr(app.backend.get_result(task_id)) == repr(theirs.get_result(task_id))
        assert app.backend.get_traceback(task_id) == theirs.get_traceback(task_id)
        assert app.backend.task_result_exists(task_id) == theirs.task_result_exists(task_id) == (task_id != "nothing")
    app.backend.forget("good")
    assert not app.backend.task_result_exists("good")
    app.close()


def test_kombu_restores_a_lease_of_ours(driver, redis_server):
    driver.broker.publish([publish("a", priority=4)])
    held = driver.broker.lease(Lease("w", ["q"], 1))
    redis_server.client().zadd("unacked_index", {held[0].tag: time.time() - 10})
    with celery_app(redis_server, visibility_timeout=1).connection_for_read() as connection:
        channel = connection.default_channel
        channel.qos.restore_visible()
    assert redis_server.client().hlen("unacked") == 0
    back = driver.broker.lease(Lease("w2", ["q"], 1))
    assert ids(back) == ["a"]
    assert ENVELOPE.headers_of(back[0].payload)["redelivered"] is True
    assert not driver.settler.settle([Settlement(held[0])]).verdicts[0].held


def test_ours_restores_what_a_dead_celery_worker_held(redis_server, redis_url, result_url):
    app = celery_app(redis_server)
    app.send_task("t", task_id="a", queue="q")
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        channel._size = 0
        message = channel.basic_get("q")
        raw = redis_server.client().hgetall("unacked")
    assert message is not None
    client = redis_server.client()
    client.flushdb()
    for tag, value in raw.items():
        client.hset("unacked", tag, value)
        client.zadd("unacked_index", {tag: time.time() - 100})
    driver = open_driver(redis_url, result_url, broker_options={"visibility_timeout": 50})
    driver.recovery._next_sweep = 0
    assert driver.recovery.recover_dead_workers() == 1
    assert ids(driver.broker.lease(Lease("w", ["q"], 1))) == ["a"]


def test_leases_of_workers_that_the_server_forgot_are_given_back(driver, redis_server):
    driver.recovery.heartbeat("alive", ["q"], 60)
    driver.broker.publish([publish("a"), publish("b")])
    kept, lost = (driver.broker.lease(Lease(worker, ["q"], 1))[0] for worker in ("alive", "forgotten"))
    redis_server.client().zadd("unacked_index", {kept.tag: time.time() - 1000, lost.tag: time.time() - 1000})
    driver.recovery._next_sweep = 0
    assert driver.recovery.recover_dead_workers() == 1
    assert ids(driver.broker.lease(Lease("w", ["q"], 5))) == ["b"]


def test_a_worker_that_another_process_has_recovered_leaves_no_note(driver, redis_server, monkeypatch):
    """One process lists the workers, another recovers a dead one, and the first notes that the worker is silent."""
    driver.recovery.heartbeat("dead", ["q"], 0.05)
    server = redis_server.client(0)
    eventually(lambda: not server.exists("canvas:worker:dead:heartbeat"))
    missed = driver.recovery._missed

    def recovered_meanwhile(silent):
        driver.recovery.recover_worker("dead")
        return missed(silent)

    monkeypatch.setattr(driver.recovery, "_missed", recovered_meanwhile)
    driver.recovery.recover_dead_workers()
    assert not server.exists("canvas:workers:silent_since")


def test_a_live_lease_is_not_old_however_long_it_is_held(redis_server, redis_url, result_url):
    driver = open_driver(redis_url, result_url, broker_options={"visibility_timeout": 50})
    driver.broker.publish([publish("a")])
    held = driver.broker.lease(Lease("w", ["q"], 1))
    for age in (40, 60, 5000):
        redis_server.client().zadd("unacked_index", {held[0].tag: time.time() - age})
        driver.recovery.heartbeat("w", ["q"], 60)
        driver.recovery._next_sweep = 0
        assert driver.recovery.recover_dead_workers() == 0
        with celery_app(redis_server, visibility_timeout=50).connection_for_read() as connection:
            connection.default_channel.qos.restore_visible()
    assert driver.settler.settle([Settlement(held[0])]).verdicts[0].held


class Request:
    """What Celery's backend asks of a request."""

    def __init__(self, task_id, group, index, chord):
        self.id, self.group, self.group_index, self.chord = task_id, group, index, chord
        self.errbacks = self.chain = self.callbacks = self.parent_id = self.root_id = self.reply_to = None
        self.children, self.stamped_headers, self.stamps, self.ignore_result = [], None, {}, False


@pytest.mark.parametrize("last", ["ours", "theirs"])
def test_parts_of_one_chord_from_both_kinds(driver, redis_server, last):
    group = str(uuid.uuid4())
    body = {
        "task": "t.body",
        "args": [],
        "kwargs": {},
        "options": {"task_id": "body"},
        "subtask_type": None,
        "immutable": False,
    }
    driver.chords.start_chords([ChordStart(group, 2, 60)])
    backend = celery_app(redis_server).backend

    def theirs(task_id, index):
        backend.on_chord_part_return(Request(task_id, group, index, body), "SUCCESS", index)

    def ours(task_id, index):
        part = Part(group, task_id, index, record.encode_part(task_id, "SUCCESS", index), b"fire", 60)
        return driver.settler.settle([Settlement(None, parts=[part])]).verdicts[0].ready

    if last == "ours":
        theirs("a", 0)
        assert ours("a", 0) == []
        ready = ours("b", 1)[0]
        assert [json.loads(value)[3] for value in ready.parts] == [0, 1]
        theirs("b", 1)
        assert redis_server.client().llen("celery") == 0
        assert driver.settler.dispatch_chord(chord_end(group, publish("body"))).held
        theirs("a", 0)
        assert (redis_server.client().llen("celery"), driver.admin.queue_length("q")) == (0, 1)
    else:
        assert ours("a", 0) == []
        theirs("b", 1)
        sent = messages.decode(redis_server.client().lpop("celery"), accept=("json",))
        assert (sent.task, sent.args) == ("t.body", [[0, 1]])
        assert ours("a", 0) == ours("b", 1) == []
        assert driver.settler.stale_ready_chords(0) == []


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
        policy = {"max_retries": 100, "interval_start": 0.05, "interval_step": 0, "interval_max": 0.05}
        app.send_task("t", retry_policy=policy)
        assert server.client().llen("celery") == 1
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


def test_the_first_calls_of_many_threads(redis_server, tmp_path):
    """They share what is made at the first call."""
    with TlsFront(redis_server.port, tmp_path) as tls, ThreadPoolExecutor(8) as threads:
        for _ in range(10):
            client, together = RedisClient(parse(tls.url(0), {})), threading.Barrier(8)

            def first(client=client, together=together):
                together.wait(60)
                return client.command("PING", retry=False)

            assert {future.result(60) for future in [threads.submit(first) for _ in range(8)]} <= {b"PONG", True}
            client.close()


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
