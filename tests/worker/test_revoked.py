"""Tasks that are revoked: by id, by stamp, and before their time."""

import pytest

import canvas
from canvas.errors import TaskRevokedError
from canvas.testing.contract import eventually
from tests.worker.commands import POOLS, start, task


@pytest.mark.parametrize("pool", POOLS, ids=lambda p: p[0])
def test_revoked_tasks_never_run_however_late_the_worker_starts(bench, app, pool):
    key = bench.new_key()
    result = task(app, "slow_then").delay(0, key)
    chain = (
        task(app, "ident").s(1) | task(app, "slow_then").s(0, key).set(immutable=True) | task(app, "ident").s()
    ).delay()
    chord = canvas.chord([task(app, "ident").s(1), task(app, "ident").s(2)], task(app, "ident").s()).delay()
    result.revoke()
    chain.parent.revoke()
    chord.parent.results[0].revoke()
    assert result.state == "PENDING"
    with start(bench, "-P", *pool) as worker:
        assert bench.wait_state(app, chain.id) == "REVOKED"
        assert bench.wait_state(app, chord.id) == "FAILURE"
        eventually(lambda: not bench.broker.llen("celery") and not bench.broker.hlen("unacked"))
        with pytest.raises(TaskRevokedError):
            result.get(timeout=10)
        worker.wait_for(f"Discarding revoked task: t.slow_then[{result.id}]")
        received, discarded = [line for line in worker.log if f"[{result.id}]" in line]
        assert f"Task t.slow_then[{result.id}] received" in received
        assert "Discarding" in discarded
    assert bench.ledgers.llen(f"ledger:{key}") == 0


def test_tasks_are_revoked_by_their_stamps(bench, app):
    key = bench.new_key()
    for release in ("1", "2"):
        sig = task(app, "slow_then").s(0, f"{key}-{release}")
        sig.stamp(release=release)
        sig.apply_async()
    app.control.revoke_by_stamped_headers({"release": ["2", "3"]})
    with start(bench, "-P", "solo"):
        assert bench.ledger(f"{key}-1", 2) == ["start", "end"]
        eventually(lambda: not bench.broker.llen("celery") and not bench.broker.hlen("unacked"))
    assert bench.ledgers.llen(f"ledger:{key}-2") == 0


def test_tasks_for_later_are_revoked_too(bench, app):
    key = bench.new_key()
    with start(bench, "-P", "solo"):
        result = task(app, "slow_then").apply_async((0, key), countdown=3)
        eventually(lambda: bench.broker.exists("canvas:delayed"))
        result.revoke()
        eventually(lambda: not bench.broker.exists("canvas:delayed"))
        eventually(lambda: not bench.broker.llen("celery") and not bench.broker.hlen("unacked"))
        assert task(app, "add").delay(1, 1).get(timeout=10) == 2
    assert bench.ledgers.llen(f"ledger:{key}") == 0
