"""Chords that take longer than their state is kept after an end, and chords whose state is gone."""

import importlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from canvas.errors import ChordError
from canvas.testing.contract import eventually
from tests.support.apps import make
from tests.support.processes import WorkerProcess
from tests.worker.brief import EXPIRES, brief_bench

LONG = 2.5


@pytest.fixture(scope="module")
def brief():
    with brief_bench(16) as bench:
        yield bench


@pytest.fixture(params=["canvas", "celery"])
def client(request, brief):
    broker, backend, ledger = brief.urls()
    app = make(request.param, broker, backend, ledger=ledger, result_expires=EXPIRES)
    app.library = importlib.import_module(request.param)
    yield app
    app.close()


def long_ones(app):
    """Compositions whose header outlives what results are kept for, with their values."""
    chain, chord, group = app.library.chain, app.library.chord, app.library.group
    sleep, ident, tsum, add = (app.tasks[f"t.{name}"] for name in ("sleep", "ident", "tsum", "add"))
    slow = sleep.s(LONG, 3)
    return {
        "flat": (chord([sleep.s(0, 1), slow], tsum.s()), 4),
        "all slow": (chord([slow, slow], tsum.s()), 6),
        "nested": (chord([chord([ident.s(1), slow], tsum.s()), ident.s(5)], tsum.s()), 9),
        "slow body inside": (chord([chord([ident.s(1), ident.s(1)], chain(tsum.s(), sleep.si(LONG, 3))), ident.s(5)], tsum.s()), 8),
        "in a chain": (chain(ident.s(1), group(add.s(1), chain(add.s(1), sleep.si(LONG, 3))), tsum.s()), 5),
        "after a chord": (chain(chord([ident.s(1), slow], tsum.s()), add.s(1)), 5),
        "group in the header": (chord([chain(ident.s(0), group(ident.si(1), sleep.si(LONG, 3))), ident.s(5)], ident.s()), [[1, 3], 5]),
        "countdown": (chord([ident.s(1), ident.s(3).set(countdown=LONG)], tsum.s()), 4),
        "only countdowns": (chord([ident.s(n).set(countdown=LONG) for n in (1, 3)], tsum.s()), 4),
        "retried": (chord([ident.s(1), app.tasks["t.retried_once"].s(LONG, 3)], tsum.s()), 4),
    }  # fmt: skip


def values(results, timeout=40):
    """Their values, each taken as it comes: it is gone a second later."""
    with ThreadPoolExecutor(len(results)) as pool:
        return list(pool.map(lambda result: result.get(timeout=timeout), results))


def test_a_chord_outlives_what_results_are_kept_for(client):
    sent = {name: (sig.apply_async(), value) for name, (sig, value) in long_ones(client).items()}
    found = values([result for result, _ in sent.values()])
    assert dict(zip(sent, found, strict=True)) == {name: value for name, (_, value) in sent.items()}


def expired(bench):
    """Wait until what was written a moment ago, for as long as results are kept, is gone."""
    bench.results.set("mark", "1", ex=EXPIRES + 1)
    eventually(lambda: not bench.results.exists("mark"))


def test_a_chord_that_waits_for_a_worker_outlives_it_too(brief):
    broker, backend, ledger = brief.urls()
    app = make("canvas", broker, backend, ledger=ledger, result_expires=EXPIRES)
    chord, group = importlib.import_module("canvas").chord, importlib.import_module("canvas").group
    ident, tsum = app.tasks["t.ident"], app.tasks["t.tsum"]
    late = ident.s(2).set(queue="late")
    sent = [
        chord([ident.s(1), late], tsum.s()).apply_async(),
        chord([late, late], tsum.s()).apply_async(),
        chord([group(late, late), late], app.tasks["t.ident"].s()).apply_async(),
    ]
    expired(brief)
    with WorkerProcess("canvas", broker, backend, "-P", "solo", "-Q", "late", ledger=ledger, expires=EXPIRES):
        assert values(sent) == [3, 4, [2, 2, 2]]
    app.close()


def gone(bench, result, lines):
    """A chord that ended because its state was gone: its error, and a line in the worker's log."""
    with pytest.raises((ChordError, Exception), match="its state is gone") as caught:
        result.get(timeout=20)
    assert type(caught.value).__name__ == "ChordError"
    eventually(lambda: sum("its state is gone" in line for line in bench.worker.log) > lines)


def known(bench, base):
    """Whether a worker knows that the chord lives."""
    return any(name.decode().endswith(base) for name in bench.broker.zrange("canvas:alive", 0, -1))


def lines(bench):
    return sum("its state is gone" in line for line in bench.worker.log)


@pytest.mark.parametrize("what", ["all of it", "the size", "the parts"])
def test_a_chord_whose_state_is_gone_fails_with_its_errbacks(brief, client, what):
    key, before = brief.new_key(), lines(brief)
    slow = client.tasks["t.until_open"]
    body = client.tasks["t.ident"].s().on_error(client.tasks["t.errback_by_id"].s(key))
    result = client.library.chord([client.tasks["t.ident"].s(1), slow.s(key), slow.s(key)], body).apply_async()
    base = f"celery-taskset-meta-{result.parent.id}"
    eventually(lambda: brief.results.exists(f"{base}.j") and known(brief, base))
    suffixes = {"all of it": (".s", ".j", ".d", ".t"), "the size": (".s",), "the parts": (".j", ".d")}[what]
    brief.results.delete(*(base + suffix for suffix in suffixes))
    brief.open(key)
    gone(brief, result, before)
    assert brief.ledger(key, 5)[-1]
    assert not list(brief.results.scan_iter(f"{base}.s"))


def test_a_chord_whose_size_nobody_has_told_fails_in_the_end(brief):
    """A Celery client let the size expire, before any worker could know of it."""
    broker, backend, ledger = brief.urls()
    app = make("celery", broker, backend, ledger=ledger, result_expires=EXPIRES)
    celery, before = importlib.import_module("celery"), lines(brief)
    ident = app.tasks["t.ident"]
    result = celery.chord([ident.s(n).set(queue="later") for n in range(2)], app.tasks["t.tsum"].s()).apply_async()
    expired(brief)
    with WorkerProcess("canvas", broker, backend, "-P", "solo", "-Q", "later", ledger=ledger, expires=EXPIRES):
        index = "canvas:chords:ready:unsized:index"
        group = result.parent.id.encode()
        due = eventually(lambda: brief.results.zscore(index, group))
        eventually(lambda: brief.results.zcard(f"celery-taskset-meta-{group.decode()}.j") == 2)
        now = int(brief.results.time()[0])
        assert 500 < due - now < 700
        brief.results.zadd(index, {group: now - 1})
        with pytest.raises(Exception, match="its state is gone"):
            result.get(timeout=20)
    assert not brief.results.zscore(index, group)
    assert not brief.results.hexists("canvas:chords:ready:unsized", group)
    assert before <= lines(brief)


def test_a_size_that_comes_late_is_no_loss(brief):
    """A Celery client may still be sending the header when its first tasks are through."""
    broker, backend, ledger = brief.urls()
    app, gate = make("celery", broker, backend, ledger=ledger), brief.new_key()
    celery, ident = importlib.import_module("celery"), app.tasks["t.ident"]

    def header():
        for number in range(3):
            if number == 2:
                brief.ledger(gate, 1)
                eventually(lambda: brief.results.zcard("canvas:chords:ready:unsized:index"))
                brief.results.zadd("canvas:chords:ready:unsized:index", {"other": 0})
            yield ident.s(number) if number else app.tasks["t.noted"].s(number, gate)

    result = celery.chord(header(), app.tasks["t.tsum"].s()).apply_async()
    assert result.get(timeout=20) == 3


def test_what_is_left_of_a_chord_that_failed_is_kept_as_results_are(brief):
    broker, backend, ledger = brief.urls()
    app, chord = (
        make("canvas", broker, backend, ledger=ledger, result_expires=EXPIRES),
        importlib.import_module("canvas").chord,
    )
    result = chord([app.tasks["t.ident"].s(1), app.tasks["t.fail"].s()], app.tasks["t.ident"].s()).apply_async()
    with pytest.raises(ValueError, match="boom"):
        result.get(timeout=20)
    expired(brief)
    eventually(lambda: brief.results.keys(f"celery-taskset-meta-{result.parent.id}*") == [])
    assert not known(brief, result.parent.id)
    app.close()
