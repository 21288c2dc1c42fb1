"""Every shape of workflow, sent and run by each pairing of canvas and real Celery 5.7."""

import pytest

from tests.support.shapes import SHAPES, Shapes


@pytest.mark.parametrize("shape", SHAPES)
def test_value(pair, shape):
    signature, expected = getattr(Shapes(pair.lib, pair.app), shape)()
    assert signature.apply_async().get(timeout=30) == expected


def test_links_run_with_the_result(pair):
    redis = pair.bench
    shapes = Shapes(pair.lib, pair.app)
    key = redis.new_key()
    sig = shapes.s("add", 1, 2)
    sig.link(shapes.s("noted", f"{key}:a"))
    sig.link(shapes.s("noted", f"{key}:b"))
    assert sig.apply_async().get(timeout=30) == 3
    assert redis.ledger(f"{key}:a", 1) == ["3"]
    assert redis.ledger(f"{key}:b", 1) == ["3"]


def test_failure_carries_class_arguments_and_traceback(pair):
    result = Shapes(pair.lib, pair.app).s("fail").apply_async()
    with pytest.raises(ValueError) as caught:
        result.get(timeout=30)
    assert caught.value.args == ("boom", 42)
    assert result.state == "FAILURE"
    assert "raise ValueError" in result.traceback


def test_a_chords_failure_carries_the_header_tasks_exception_in_its_traceback(pair):
    shapes = Shapes(pair.lib, pair.app)
    result = pair.lib.chord([shapes.s("add", 1, 1), shapes.s("fail")], shapes.s("tsum")).apply_async()
    assert pair.bench.wait_state(pair.app, result.id) == "FAILURE"
    *_, last = result.traceback.strip().splitlines()
    assert "ValueError: ('boom', 42)" in result.traceback
    assert last.partition(": ")[2].startswith("Dependency")


def test_a_failing_step_ends_the_chain_and_calls_its_errback(pair):
    app, redis = pair.app, pair.bench
    shapes = Shapes(pair.lib, pair.app)
    key = redis.new_key()
    chain = shapes.s("add", 1, 1) | shapes.s("fail") | shapes.s("noted", f"{key}:never")
    result = chain.on_error(shapes.s("errback_by_id", f"{key}:failed")).apply_async()
    with pytest.raises(ValueError):
        result.get(timeout=30)
    assert redis.ledger(f"{key}:failed", 1) == [result.parent.id]
    assert redis.wait_state(app, result.id) == "FAILURE"
    assert redis.ledger(f"{key}:never", 0) == []


def test_errback_by_request_is_called_in_the_worker(pair):
    redis = pair.bench
    shapes = Shapes(pair.lib, pair.app)
    key = redis.new_key()
    sig = shapes.s("fail").on_error(shapes.s("errback_by_request", key))
    result = sig.apply_async()
    assert redis.ledger(key, 1) == [f"{result.id}|ValueError"]


def test_an_errback_finds_the_failure_stored(pair):
    shapes, key = Shapes(pair.lib, pair.app), pair.bench.new_key()
    shapes.s("fail").on_error(shapes.s("errback_that_looks", key)).apply_async()
    assert pair.bench.ledger(key, 1) == ["FAILURE"]


def test_a_failing_header_fails_the_body_and_calls_its_errback_once(pair):
    app, redis = pair.app, pair.bench
    shapes = Shapes(pair.lib, pair.app)
    key = redis.new_key()
    body = shapes.s("tsum").on_error(shapes.s("errback_by_id", key))
    result = shapes.lib.chord([shapes.s("add", 1, 1), shapes.s("fail"), shapes.s("add", 2, 2)], body).apply_async()
    with pytest.raises(Exception):  # noqa: B017 - Celery raises the member's error, or ChordError, by timing
        result.get(timeout=30)
    assert redis.wait_state(app, result.id) == "FAILURE"
    assert redis.ledger(key, 1) == [result.id]


def test_ids_and_lineage(pair):
    shapes = Shapes(pair.lib, pair.app)
    result = (shapes.s("where") | shapes.s("where") | shapes.s("where")).apply_async()
    last = result.get(timeout=30)
    first = result.parent.parent.get(timeout=30)
    assert last["id"] == result.id
    assert last["root_id"] == first["id"] == result.parent.parent.id
    assert last["parent_id"] == result.parent.id
    assert first["parent_id"] is None


def test_ignored_results_are_not_stored(pair):
    redis = pair.bench
    key = redis.new_key()
    result = Shapes(pair.lib, pair.app).s("quiet", key).apply_async()
    assert redis.ledger(key, 1) == ["1"]
    assert redis.results.get(f"celery-task-meta-{result.id}") is None


def test_retry_keeps_the_id_and_the_chain(pair):
    shapes = Shapes(pair.lib, pair.app)
    assert (shapes.s("flaky", 2) | shapes.s("add", 10)).apply_async().get(timeout=30) == 12


def test_countdown(pair):
    assert Shapes(pair.lib, pair.app).s("add", 1, 1).apply_async(countdown=0.2).get(timeout=30) == 2


def test_expired_tasks_are_revoked(pair):
    app, redis = pair.app, pair.bench
    result = Shapes(pair.lib, pair.app).s("add", 1, 1).apply_async(expires="2001-01-01T00:00:00+00:00")
    assert redis.wait_state(app, result.id) == "REVOKED"
