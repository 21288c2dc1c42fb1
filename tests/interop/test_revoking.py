"""Revoking, as Celery does it: what runs goes on, what has not begun does not run."""

import time

import pytest


def test_a_running_task_that_is_revoked_goes_on(pair):
    key = pair.bench.new_key()
    result = pair.s("until_open", key).apply_async()
    pair.bench.ledger(key, 1)
    result.revoke(wait=True, timeout=0.2)
    assert result.state in ("PENDING", "STARTED")
    pair.bench.open(key)
    assert result.get(timeout=20) == key
    assert (result.state, pair.bench.ledger(key, 2)) == ("SUCCESS", ["start", "end"])


def test_a_task_that_is_revoked_before_it_starts_does_not_run(pair):
    key = pair.bench.new_key()
    result = pair.s("slow_then", 0, key).apply_async(countdown=4)
    result.revoke(wait=True, timeout=0.5)
    assert pair.bench.wait_state(pair.app, result.id) == "REVOKED"
    with pytest.raises(Exception, match="revoked"):
        result.get(timeout=20)
    assert pair.bench.ledgers.llen(f"ledger:{key}") == 0


def test_revoke_waits_for_the_workers_answers(pair):
    nothing = pair.app.AsyncResult("nothing")
    for revoke in (
        nothing.revoke,
        lambda **given: nothing.revoke_by_stamped_headers({"batch": "none"}, **given),
        pair.app.GroupResult("group", [nothing]).revoke,
    ):
        began = time.monotonic()
        assert revoke(wait=True, timeout=0.6) is None
        assert time.monotonic() - began >= 0.5
