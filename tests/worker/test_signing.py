"""Signed messages: what nobody with the key wrote does not run, and says nothing."""

import base64
import json

import pytest

from canvas import Canvas, chain, chord, group
from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.stored_messages import redelivered
from canvas.errors import ConfigurationError, SignatureError
from canvas.testing.contract import eventually
from canvas.wire.signing import UNSIGNED, Signer, signer
from tests.support import messages
from tests.support.apps import make
from tests.worker.commands import named, start, task

KEY, OLD, OTHER = "k" * 32, "o" * 40, "x" * 32


@pytest.fixture
def signed(bench, app):
    """A client with the key; ``app`` is one without."""
    broker, backend, ledger = bench.urls()
    client = make("canvas", broker, backend, ledger=ledger, message_signing_keys=[KEY])
    yield client
    client.close()


@pytest.mark.parametrize(
    "pool",
    [
        pytest.param(("-P", "threads", "-c", "2"), id="threads"),
        pytest.param(("-P", "prefork", "-c", "2"), id="prefork", marks=pytest.mark.slow),
    ],
)
def test_workflows_of_every_kind_run_signed(bench, signed, pool):
    add, tsum, ident = task(signed, "add"), task(signed, "tsum"), task(signed, "ident")
    flow = signed.Workflow("signed")
    named(signed, flow, "last", named(signed, flow, "first"), [named(signed, flow, "second")])
    with start(bench, *pool, signing=KEY):
        run = flow.apply_async()
        results = [
            chain(add.s(1, 1), *(add.s(1) for _ in range(12))).delay(),
            chord([ident.s(1), ident.s(1), ident.s(2)], tsum.s()).delay(),
            chord(
                [chord([ident.s(1)], tsum.s()), chain(ident.s(1), group(ident.s(), ident.s()), tsum.s())], tsum.s()
            ).delay(),
            task(signed, "flaky").delay(2),
            add.apply_async((1, 1), countdown=0.2, serializer="msgpack", compression="gzip"),
            task(signed, "swap").delay(dict(add.s(3, 4))),
        ]
        assert [result.get(timeout=20) for result in results] == [14, 4, 3, 2, 2, 7]
        assert run.get(timeout=20) == ["last", [["first", [], {}], [["second", [], {}]]], {}]
        assert signed.control.ping(timeout=20, limit=1)
    assert bench.broker.llen("canvas:dead_letters:celery") == 0


def test_what_is_not_signed_so_becomes_a_dead_letter(bench, app, signed):
    key = bench.new_key()
    add, noted = task(signed, "add"), task(signed, "noted")
    noted.apply_async((1, key), queue="aside", task_id="changed")
    outer = json.loads(bench.broker.lpop("aside"))
    body = [[2, key], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    changed = {**outer, "body": base64.b64encode(json.dumps(body).encode()).decode()}
    renamed = {**outer, "headers": {**outer["headers"], "task": "t.quiet"}}
    stranger = make("canvas", *bench.urls()[:2], message_signing_keys=[OTHER])
    with start(bench, "-P", "solo", signing=KEY):
        for forged in changed, renamed:
            bench.broker.lpush("celery", json.dumps(forged))
        results = [task(client, "noted").delay(3, key) for client in (app, stranger)]
        pickled = task(app, "noted").apply_async((3, key), serializer="pickle")
        assert add.delay(1, 1).get(timeout=20) == 2
        eventually(lambda: len(app.driver.admin.dead_letters("celery")) == 5)
        assert [result.state for result in (*results, pickled, app.AsyncResult("changed"))] == ["PENDING"] * 4
        reasons = [letter.reason for letter in app.driver.admin.dead_letters("celery")]
        assert sum("is not signed" in reason for reason in reasons) == 2
        assert sum("none of message_signing_keys" in reason for reason in reasons) == 3
    assert bench.ledgers.llen(f"ledger:{key}") == 0
    stranger.close()


def test_commands_that_are_not_signed_are_ignored(bench, app, signed):
    with start(bench, "-P", "solo", signing=KEY) as worker:
        app.control.shutdown()
        worker.wait_for("cannot be read: SignatureError")
        assert app.control.ping(timeout=0.5) == []
        assert len(signed.control.ping(timeout=20, limit=1)) == 1


def test_the_end_of_a_chord_cannot_be_made_up(bench, app, signed):
    key = bench.new_key()
    body = {"body": dict(task(app, "noted").s(key)), "root_id": None, "parent_id": None}
    with start(bench, "-P", "threads", "-c", "2", signing=KEY) as worker:
        bench.results.hset("canvas:chords:ready", "made-up", json.dumps(body))
        bench.results.zadd("canvas:chords:ready_since", {"made-up": 1})
        worker.wait_for("Chord made-up cannot be ended")
        eventually(lambda: not bench.results.exists("canvas:chords:ready"))
        result = chord([task(signed, "until_open").s(key), task(signed, "ident").s(1)], task(signed, "rec").s()).delay()
        bench.ledger(key, 1)
        parts = eventually(lambda: bench.results.keys("celery-taskset-meta-*.j"))
        (value,) = eventually(lambda: bench.results.zrange(parts[0], 0, -1))
        bench.results.zrem(parts[0], value)
        bench.results.zadd(parts[0], {json.dumps([1, "x", "SUCCESS", "forged"]): 1})
        bench.open(key)
        with pytest.raises(Exception, match="is not signed"):
            result.get(timeout=20)
    assert bench.ledgers.lrange(f"ledger:{key}", 0, -1) == ["start", "end"]


def test_keys_are_changed_one_after_the_other(bench, app, signed):
    older = make("canvas", *bench.urls()[:2], message_signing_keys=[OLD])
    with start(bench, "-P", "solo", signing=f"{KEY},{OLD}"):
        assert [task(client, "add").delay(1, 1).get(timeout=20) for client in (signed, older)] == [2, 2]
    with start(bench, "-P", "solo", signing=KEY, unsigned_too=1):
        assert [task(client, "add").delay(1, 1).get(timeout=20) for client in (signed, app)] == [2, 2]
        wrong = task(older, "add").delay(1, 1)
        eventually(lambda: len(app.driver.admin.dead_letters("celery")) == 1)
        assert wrong.state == "PENDING"
    older.close()


def test_a_celery_worker_takes_signed_messages(bench, signed):
    with start(bench, "-P", "solo", library="celery"):
        assert task(signed, "add").delay(1, 1).get(timeout=20) == 2


def test_keys_have_a_least_length_and_are_never_shown():
    app = Canvas("short", broker="memory://signing", message_signing_keys="short")
    with pytest.raises(ConfigurationError, match="32 characters or more; got one of 5"):
        app.send_task("t.add")
    app = Canvas("long", broker="memory://signing", message_signing_keys=[KEY])
    assert KEY not in repr(app.conf)
    assert KEY not in str(app.conf.as_dict())
    assert signer(None) is UNSIGNED
    assert signer([]) is UNSIGNED


def test_headers_that_workers_add_are_not_signed(signed, bench):
    task(signed, "add").apply_async((1, 1), queue="aside", headers={"mine": [1, (2, 3)], "7": 1.5})
    raw = bench.broker.lpop("aside")
    found = messages.decode(redelivered(ENVELOPE, raw, canvas_delivery_count=2), accept=("json",), signer=Signer([KEY]))
    assert found.headers["mine"] == [1, [2, 3]]
    with pytest.raises(SignatureError):
        messages.decode(ENVELOPE.with_headers(raw, {"mine": 1}), accept=("json",), signer=Signer([KEY]))


def test_values_are_bound_to_their_place():
    ours = Signer([KEY])
    sealed = ours.seal("here", b"[1]")
    assert ours.open("here", sealed + b"  ") == b"[1]"
    for place, value in (("there", sealed), ("here", b"[2]" + sealed[3:]), ("here", b"[1]")):
        with pytest.raises(SignatureError):
            ours.open(place, value)
    with pytest.raises(SignatureError):
        Signer([OTHER]).open("here", sealed)
