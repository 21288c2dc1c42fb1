"""Keys that kombu and Celery use too."""

import json
import time
import uuid

import celery
import pytest

from canvas import Canvas
from canvas.drivers import open_driver
from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.ports.values import Lease
from canvas.model.settlement import ChordStart, Part, Settlement
from canvas.testing.contract import chord_end, eventually, ids, publish
from canvas.wire import record
from tests.support import messages


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
        return list(driver.settler.settle([Settlement(None, parts=[part])]).verdicts[0].ready)

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
