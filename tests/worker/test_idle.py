"""What an idle node asks of its broker, and how the children of a prefork node are woken."""

import importlib
import os
import time
from pathlib import Path

import pytest

from canvas.testing.contract import eventually
from tests.support.apps import make
from tests.support.process_signals import kill, resume, suspend
from tests.support.processes import members
from tests.support.timing import quickest
from tests.worker.commands import start, task

QUIET = 3.0
"""Seconds of measurement."""
RESTS = 0.5
"""Seconds: longer than a child sleeps between two looks for work."""
COMMANDS = 12.0
CONNECTIONS = 16


def calls(bench):
    """How many commands Redis has executed, those that scripts make among them; of its own bookkeeping none."""
    stats = bench.broker.info("commandstats")
    return {
        name: found["calls"] for name, found in stats.items() if name not in ("cmdstat_info", "cmdstat_client|list")
    }


def blocked(bench):
    """How many connections wait in a blocking command."""
    return sum("b" in client["flags"] for client in bench.broker.client_list())


def connections(bench, before):
    return sum(client["id"] not in before for client in bench.broker.client_list())


def per_second(bench):
    before, since = calls(bench), time.monotonic()
    time.sleep(QUIET)
    after = calls(bench)
    lasted = time.monotonic() - since
    return {name: (count - before.get(name, 0)) / lasted for name, count in after.items() if count != before.get(name)}


@pytest.mark.parametrize(
    "pool",
    [
        pytest.param(pool, id="-".join(pool).replace("--c", ""), marks=pytest.mark.slow if slow else ())
        for pool, slow in (
            (("prefork", "-c", "2"), True),
            (("prefork", "-c", "12"), False),
            (("solo",), False),
            (("threads", "-c", "8"), True),
            (("asyncio", "-c", "50"), True),
        )
    ],
)
def test_an_idle_node_asks_little_of_its_broker(bench, app, pool):
    result = task(app, "add").delay(1, 1)
    before = {client["id"] for client in bench.broker.client_list()}
    with start(bench, "-P", *pool) as worker:
        assert result.get(timeout=20) == 2
        eventually(lambda: not bench.broker.exists("unacked"))
        eventually(lambda: blocked(bench))
        found = [measured(bench, worker, before)]
        # What a start or a task leaves to do may reach into the first seconds.
        while not cheap(found[-1]) and len(found) < 10:
            found.append(measured(bench, worker, before))
        assert cheap(found[-1]), found


def measured(bench, worker, before):
    """Share of a core, commands a second by name, connections."""
    ticks, began = used(worker), time.monotonic()
    rates = per_second(bench)
    share = (used(worker) - ticks) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began)
    return share, rates, connections(bench, before)


def cheap(found):
    share, rates, opened = found
    return share < 0.02 and sum(rates.values()) < COMMANDS and opened <= CONNECTIONS


def used(worker):
    """Clock ticks of processor time of a worker and its children."""
    total = 0
    for pid in members(worker.process.pid):
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total


def test_each_idle_child_gets_one_of_the_messages(bench, app):
    with start(bench, "-P", "prefork", "-c", "4"):
        for _ in range(2):
            run_in_each(bench, app, 4)


def run_in_each(bench, app, children):
    """Each child of the node runs a task, at one time: it has started."""
    key = bench.new_key()
    results = [task(app, "until_open").delay(key) for _ in range(children)]
    assert bench.ledger(key, children) == ["start"] * children
    bench.open(key)
    assert len({result.get(timeout=20) for result in results}) == 1


def idle(bench, worker):
    """Its parent waits at the broker, for each priority of the queue, and no child has done anything for a while."""
    children = members(worker.process.pid)[1:]

    def rest():
        before = [slept(child) for child in children]
        time.sleep(RESTS)
        rested = [slept(child) for child in children] == before and all(state == "S" for state, _ in before)
        return children if rested and blocked(bench) >= 4 and not bench.broker.exists("unacked") else None

    return eventually(rest)


def slept(pid):
    """The state of the main thread of a process, and how often it has waited."""
    facts = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return facts["State"][0], facts["voluntary_ctxt_switches"]


def in_inbox(bench):
    return bench.broker.keys("canvas:prefetched:*")


def test_a_message_outlives_the_death_of_children_that_were_woken_for_it(bench, app):
    """Another one that waits runs it, before there is a new child."""
    with start(bench, "-P", "prefork", "-c", "2") as worker:
        run_in_each(bench, app, 2)
        woken = task(app, "pid").delay().get(timeout=20)  # this child is the last to wait again, and the first to wake
        children = idle(bench, worker)
        suspend(*children)
        result = task(app, "pid").delay()
        eventually(lambda: in_inbox(bench))
        kill(woken)
        resume(*set(children) - {woken})
        assert {result.get(timeout=20)} == set(children) - {woken}
        assert not in_inbox(bench)


def test_a_message_outlives_the_death_of_all_children(bench, app):
    with start(bench, "-P", "prefork", "-c", "2") as worker:
        run_in_each(bench, app, 2)
        children = idle(bench, worker)
        suspend(*children)
        result = task(app, "pid").delay()
        eventually(lambda: in_inbox(bench))
        kill(*children)
        assert result.get(timeout=20) not in children
        assert not in_inbox(bench)


def gone(worker, pids):
    return not set(pids).intersection(members(worker.process.pid))


MOVED, WOKEN = "before a child is woken", "before it is leased"
DEATHS = [
    pytest.param(instant, victims, id=f"{instant}-{victims}", marks=() if victims == "all" else pytest.mark.slow)
    for instant in (MOVED, WOKEN)
    for victims in ("parent", "children", "all")
]


@pytest.mark.parametrize(("instant", "victims"), DEATHS)
def test_a_message_in_the_inbox_outlives_every_death(bench, app, instant, victims):
    """It runs once, on the same node or on another one that starts later."""
    key = bench.new_key()
    worker = start(bench, "-P", "prefork", "-c", "2", short_leases=1).ready()
    try:
        run_in_each(bench, app, 2)
        children, parent = idle(bench, worker), [worker.process.pid]
        suspend(*(parent if instant == MOVED else children))
        result = task(app, "slow_then").delay(0.01, key)
        eventually(lambda: in_inbox(bench))
        dead = {"parent": parent, "children": children, "all": [*parent, *children]}[victims]
        kill(*dead)
        resume(*set([*parent, *children]).difference(dead))
        # The children end with their parent.
        eventually(lambda: victims == "children" or gone(worker, children))
        with start(bench, "-P", "solo", "-n", "late@%h", short_leases=1):
            assert result.get(timeout=20) == key
            eventually(lambda: not in_inbox(bench))
            assert bench.broker.hlen("unacked") == 0
        assert bench.ledger(key, 2) == ["start", "end"]
    finally:
        worker.stop()


def test_a_node_whose_children_are_all_busy_moves_nothing_aside(bench, app):
    key = bench.new_key()
    with start(bench, "-P", "prefork", "-c", "2"):
        long = [task(app, "until_open").delay(key) for _ in range(2)]
        bench.ledger(key, 2)
        eventually(lambda: not blocked(bench))
        result = task(app, "add").delay(1, 2)
        with start(bench, "-P", "solo", "-n", "other@%h"):
            assert result.get(timeout=20) == 3
        assert bench.ledger(key, 2) == ["start"] * 2
        bench.open(key)
        for one in long:
            one.get(timeout=20)


def test_queues_of_a_node_can_change_while_its_children_wait(bench, app):
    with start(bench, "-P", "prefork", "-c", "2") as worker:
        idle(bench, worker)
        app.control.add_consumer("more", reply=True, timeout=20, limit=1)
        assert task(app, "add").apply_async((1, 2), queue="more").get(timeout=20) == 3
        app.control.cancel_consumer("more", reply=True, timeout=20, limit=1)
        task(app, "add").apply_async((1, 2), queue="more")
        assert task(app, "add").delay(2, 2).get(timeout=20) == 4
        assert bench.broker.llen("more") == 1
        bench.broker.delete("more")


def test_children_wake_after_the_broker_was_away(bench, app):
    with start(bench, "-P", "prefork", "-c", "2") as worker:
        idle(bench, worker)
        for _ in range(2):
            bench.broker.client_kill_filter(_type="normal", skipme=True)
            assert task(app, "add").delay(1, 2).get(timeout=20) == 3


def test_all_children_answer_each_of_several_questions_in_a_row(bench, app):
    with start(bench, "-P", "prefork", "-c", "4", "-n", "four@here") as worker:
        children = set(members(worker.process.pid)[1:])
        for result in [task(app, "add").delay(1, 1) for _ in range(8)]:
            result.get(timeout=20)
        # For one that seems to run a task its parent answers when it does not itself, with fewer tasks in total.
        idle(bench, worker)
        for _ in range(5):
            ((answer,),) = (one.values() for one in app.control.broadcast("stats", reply=True, timeout=20, limit=1))
            assert set(answer["pool"]["processes"]) == children
            assert answer["total"] == {"t.add": 8}


@pytest.mark.parametrize("pool", [("prefork", "-c", "2"), ("threads", "-c", "2")], ids=lambda pool: pool[0])
def test_what_is_deferred_starts_when_it_is_due(bench, app, pool):
    with start(bench, "-P", *pool):
        task(app, "add").delay(1, 1).get(timeout=20)
        for seconds in (0.15, 1.4):

            def late(seconds=seconds):
                sent = time.monotonic()
                task(app, "add").apply_async((1, 2), countdown=seconds).get(timeout=20)
                found = time.monotonic() - sent - seconds
                assert found >= -0.01
                return found

            assert quickest(late, 0.6) < 0.6


def test_a_child_that_has_rested_registers_again(bench, app):
    """A child that waits for long is unknown to the broker, and what it takes is leased to a known worker all the same."""
    settings = {"short_leases": 1}
    key = bench.new_key()
    with start(bench, "-P", "prefork", "-c", "3", **settings):
        task(app, "add").delay(1, 1).get(timeout=20)
        eventually(lambda: bench.broker.hlen("canvas:workers") == 1)
        long = task(app, "slow_then").delay(4, key)
        bench.ledger(key, 1)
        (holder,) = {tag.decode().rpartition(":")[0].removeprefix("canvas:") for tag in bench.broker.hkeys("unacked")}
        assert bench.broker.exists(f"canvas:worker:{holder}:heartbeat")
        long.get(timeout=20)
        assert len(bench.ledger(key, 2)) == 2


@pytest.mark.parametrize("library", ["canvas", "celery"])
def test_the_chords_and_runs_of_children_are_kept_as_long_as_they_last(bench, library):
    """Results are kept for a second, and the header takes longer."""
    url, backend, ledger = bench.urls()
    app = make(library, url, backend, ledger=ledger, result_expires=1)
    sleep = app.tasks["t.sleep"]
    with start(bench, "-P", "prefork", "-c", "2", expires=1, run_expires=1):
        header = [sleep.s(0, 1), sleep.s(2.5, 3)]
        chord = importlib.import_module(library).chord(header, app.tasks["t.tsum"].s()).apply_async()
        assert chord.get(timeout=20) == 4
        if library == "canvas":
            flow = app.Workflow("brief")
            flow.add(app.tasks["t.ident"].s(1), name="one")
            run = flow.apply_async()
            assert run.get(timeout=20) == 1
        eventually(lambda: not bench.results.keys("canvas:run:*"))
    app.close()
