"""Keys that hold something else, and ends that Redis refuses."""

import pytest

from canvas.drivers.ports.values import Lease
from canvas.drivers.two_step import TwoStepSettler
from canvas.model.settlement import Part, ResultWrite, Settlement, SpeculativeDispatch
from canvas.testing.contract import chord_end, ids, publish


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


@pytest.mark.parametrize(
    ("setting", "words"), [("maxmemory", "OOM command not allowed"), ("min-replicas-to-write", "NOREPLICAS")]
)
def test_a_server_that_stores_nothing_is_seen(driver, redis_server, setting, words):
    admin, key = redis_server.client(), "canvas:write_check"
    assert (driver.admin.refusal(), driver.results.refusal()) == (None, None)
    admin.config_set(setting, 1)
    try:
        for part in (driver.admin, driver.results):
            assert words in part.refusal()
    finally:
        admin.config_set(setting, 0)
    assert (driver.admin.refusal(), driver.results.refusal(), admin.exists(key)) == (None, None, 0)
