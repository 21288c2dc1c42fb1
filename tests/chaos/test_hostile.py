"""Hostile messages: the worker lives, its memory stays, and each ends in a result or among the dead letters."""

import base64
import copy
import json
import random
from contextlib import suppress
from pathlib import Path

import amqp
import msgpack
import pytest

from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.errors import CanvasError
from canvas.model.settlement import ResultWrite
from canvas.testing.contract import eventually
from tests.chaos.hostile import Mutator, change, headers_of, leaves_no_result, seeds_of
from tests.support.apps import make
from tests.support.processes import members, resident
from tests.support.rabbit_bench import RabbitBench
from tests.support.redis_server import RedisServer
from tests.worker.commands import start, task

BATCH = 500
CASES = [
    pytest.param(seed, cases, pool, marks=marks)
    for seed, cases, pool, marks in [
        (1, 2_000, ("-P", "threads", "-c", "4"), ()),
        (2, 50_000, ("-P", "solo"), pytest.mark.slow),
        (3, 30_000, ("-P", "prefork", "-c", "2"), pytest.mark.slow),
        (4, 20_000, ("-P", "asyncio", "-c", "10"), pytest.mark.slow),
    ]
]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("seed", "cases", "pool"), CASES)
def test_every_message_ends(bench, app, tmp_path, seed, cases, pool):
    marker = tmp_path / "made-by-a-pickle"
    mutator = Mutator(seed, seeds_of(app), str(marker))
    bench.server.client().flushall()
    with start(bench, *pool) as worker:
        pids, first = members(worker.process.pid), None
        for _ in range(cases // BATCH):
            sent = [mutator.next() for _ in range(BATCH)]
            bench.broker.lpush("celery", *sent)
            eventually(lambda: is_quiet(bench), 120)
            assert unaccounted(bench, sent) == []
            bench.broker.delete("canvas:dead_letters:celery", "canvas:delayed", "canvas:delayed:messages")
            bench.results.flushdb()
            first = first or resident(pids)
        assert task(app, "add").delay(1, 1).get(timeout=20) == 2
        assert members(worker.process.pid) == pids
        assert resident(pids) < first + 200
        faults = [line for line in worker.log if "Internal error" in line]
        assert faults == []
    assert not marker.exists()


OWN_HEADERS = {
    "canvas_due": [float(2**62), 1e308, -1.0, 0.0, "soon", None],
    "canvas_dead": [[], {}, "why", 7],
    "canvas_delivery_count": [2**62, -1, "many", None],
    "x-death": [[{"queue": "canvas.delay.1000"}, 7], {}, "x"],
    "x-delivery-count": [2**62, -1, "many"],
    "redelivered": ["yes", [], None],
    "filler": ["x" * 130_000],
}
"""Headers that canvas and RabbitMQ write themselves, and one that fills a frame."""


def amqp_message(raw, choose):
    """A mutated envelope as another program sends it to RabbitMQ, with some of these headers."""
    try:
        outer = json.loads(raw)
        headers = dict(outer["headers"])
        body = base64.b64decode(outer["body"])
    except (ValueError, KeyError, TypeError):
        headers, body = {}, raw
    for name in choose.sample(sorted(OWN_HEADERS), 2):
        headers[name] = choose.choice(OWN_HEADERS[name])
    kinds = ["application/json", "application/x-msgpack", "text/plain", "", "\ud7ff"]
    return amqp.Message(
        body, application_headers=headers, content_type=choose.choice(kinds), content_encoding="utf-8",
        priority=choose.choice([0, 255]), delivery_mode=choose.choice([1, 2]), type=choose.choice(["", "canvas.raw"]),
        message_id=choose.choice(["", "same", str(choose.random())]), reply_to=choose.choice(["", "nowhere", "celery"]),
    )  # fmt: skip


def put(node, vhost, messages, choose):
    """Publish messages that py-amqp can write and RabbitMQ takes; how many."""
    total = 0
    for raw in messages:
        # RabbitMQ closes the connection where it cannot read the headers.
        with suppress(Exception), amqp.Connection(f"127.0.0.1:{node.port}", virtual_host=vhost) as connection:
            channel = connection.channel()
            channel.confirm_select()
            channel.basic_publish_confirm(amqp_message(raw, choose), "", "celery")
            total += 1
    return total


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("pool", [("-P", "threads", "-c", "4"), ("-P", "prefork", "-c", "2")], ids=lambda pool: pool[1])
def test_every_message_from_rabbitmq_ends(rabbitmq, tmp_path, pool):
    vhost, choose = rabbitmq.new_vhost(), random.Random(5)
    with RedisServer() as server:
        bench = RabbitBench(server, rabbitmq.url(vhost))
        with make("canvas", server.url(0), server.url(1)) as other:
            mutator = Mutator(5, seeds_of(other), str(tmp_path / "made-by-a-pickle"))
        with bench.client() as app, start(bench, *pool) as worker:
            pids = members(worker.process.pid)
            assert task(app, "add").delay(1, 1).get(timeout=20) == 2
            assert put(rabbitmq, vhost, [mutator.next() for _ in range(1_000)], choose) > 500
            eventually(lambda: app.driver.admin.queue_length("celery") == app.driver.admin.in_flight().leased == 0, 120)
            assert task(app, "add").delay(1, 1).get(timeout=60) == 2
            assert members(worker.process.pid) == pids
            assert [line for line in worker.log if "Internal error" in line] == []
            server.client().flushall()
    assert not (tmp_path / "made-by-a-pickle").exists()


RESULTS = sorted((Path(__file__).parent.parent / "golden" / "result").glob("*.json"))


@pytest.mark.parametrize(
    ("seed", "cases"), [(1, 3_000), pytest.param(2, 100_000, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_reading_any_record_gives_a_value_or_a_clear_error(seed, cases):
    app = make("canvas", "memory://hostile", "memory://hostile")
    chance, read, refused = random.Random(seed), 0, 0
    seeds = [json.loads(value) for path in RESULTS for value in _records(path)]
    for number in range(cases):
        whole = {"record": copy.deepcopy(chance.choice(seeds))}
        for _ in range(chance.randint(1, 3)):
            change(chance, whole)
        app.driver.results.store([ResultWrite(str(number), json.dumps(whole["record"]).encode(), 60, False)])
        result = app.AsyncResult(str(number))
        try:
            _look_at(result)
            read += 1
        except CanvasError:
            refused += 1
        app.driver.results.forget([str(number)])
    assert read > cases / 10
    assert refused > cases / 100


def _look_at(result):
    repr(result.state), repr(result.result), result.traceback, result.date_done, result.name, result.retries
    result.ready(), result.successful(), result.failed()
    for child in result.children or ():
        child.as_tuple()


def _records(path):
    found = json.loads(path.read_text())
    return [value for value in _texts(found) if '"status"' in value]


def _texts(node):
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for inner in node.values() if isinstance(node, dict) else node:
            yield from _texts(inner)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("seed", "cases"), [(1, 2_000), pytest.param(2, 50_000, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_remote_control_takes_anything(bench, app, seed, cases):
    chance, seeds = random.Random(seed), _commands(bench, app)
    with start(bench, "-P", "threads", "-c", "2") as worker:
        for _ in range(cases):
            whole = copy.deepcopy(chance.choice(seeds))
            for _ in range(chance.randint(1, 3)):
                change(chance, whole)
            outer = whole["outer"]
            if isinstance(outer, dict) and _is_harmless(whole["body"]):
                outer["body"] = base64.b64encode(json.dumps(whole["body"]).encode()).decode()
                bench.broker.publish("/0.celery.pidbox", json.dumps(outer))
        assert len(app.control.inspect(timeout=20, limit=1).ping()) == 1
        assert task(app, "add").delay(1, 1).get(timeout=20) == 2
        assert [line for line in worker.log if "Internal error" in line or "crashed" in line] == []


def _is_harmless(body):
    return not isinstance(body, dict) or body.get("method") not in (
        "shutdown",
        "cancel_consumer",
        "pool_shrink",
        "pool_grow",
    )


def _commands(bench, app):
    """Commands of each kind as they are broadcast: envelope and body."""
    with bench.broker.pubsub() as listening:
        listening.subscribe("/0.celery.pidbox")
        eventually(lambda: listening.get_message(timeout=1))
        app.control.revoke("id", terminate=True, signal="SIGTERM")
        app.control.rate_limit("t.add", "10/m")
        app.control.time_limit("t.add", soft=1, hard=2)
        app.control.add_consumer("other", exchange="ex", routing_key="rk")
        app.control.pool_grow(1)
        app.control.broadcast("query_task", {"ids": ["a", "b"]}, destination=["nobody@nowhere"])
        app.control.broadcast("revoke_by_stamped_headers", {"headers": {"a": "b"}}, pattern="cel*", matcher="glob")
        app.control.broadcast("stats", reply=True, timeout=0.01)
        found = [json.loads(listening.get_message(timeout=5)["data"]) for _ in range(8)]
    return [{"outer": outer, "body": json.loads(base64.b64decode(outer["body"]))} for outer in found]


def unaccounted(bench, sent):
    """What has neither a result, nor a dead letter, nor a time that is to come."""
    letters = {
        msgpack.unpackb(raw, raw=True)[b"payload"] for raw in bench.broker.lrange("canvas:dead_letters:celery", 0, -1)
    }
    later = {msgpack.unpackb(raw, raw=True)[1] for raw in bench.broker.hvals("canvas:delayed:messages")}
    # A deferred message has a header that says that a worker has received it.
    rest = [
        raw
        for raw in sent
        if raw not in letters and not {raw, ENVELOPE.with_headers(raw, {"canvas_received": True})} & later
    ]
    return [raw for raw in rest if not _has_result(bench, raw)]


def _has_result(bench, raw):
    if leaves_no_result(raw):
        return True
    task_id = headers_of(raw).get("id")
    if not isinstance(task_id, str):
        return False
    try:
        return bool(bench.results.exists(f"celery-task-meta-{task_id}".encode()))
    except UnicodeEncodeError:
        return False


def is_quiet(bench):
    """Nothing waits, and nothing runs, now or within a second."""
    waiting = sum(bench.broker.llen(f"celery{step}") for step in ("", "\x06\x163", "\x06\x166", "\x06\x169"))
    soon = bench.broker.zcount("canvas:delayed", "-inf", bench.broker.time()[0] + 5)
    return not (waiting or soon or bench.broker.hlen("unacked"))
