"""What a task costs, counted: calls of Python functions, calls to Redis, bytes. Speed itself is not tested here."""

import asyncio
import json
import subprocess
import sys
import time
from datetime import datetime

import pytest

from canvas import Canvas, Workflow
from canvas.drivers.ports.values import LeaseReply
from canvas.model.message import Delivery
from canvas.testing.contract import eventually
from canvas.worker.consumer.loop_sleep import LINGER
from canvas.worker.options import WorkerOptions
from canvas.worker.process import WorkerProcess
from tests.support.apps import make
from tests.support.counting import counted, fewest
from tests.support.forked import ROOT
from tests.worker.commands import start, task

TASKS = 1_000


@pytest.fixture
def process(app):
    plan = WorkerOptions("here", ["celery"], 1, "solo", 0, False, None, None, None, False, False, None)
    process = WorkerProcess(app, plan, 1, "worker")
    process._register()
    return process


@pytest.fixture
def line(process):
    return process._pipeline


def test_function_calls_of_a_task(bench, app, line):
    task(app, "add").delay(1, 2)
    payload = bench.broker.rpop("celery")
    line.do(Delivery("canvas:worker:0", "celery", payload))

    def settled():
        now = time.monotonic()
        deliveries = [Delivery(f"canvas:worker:{number}", "celery", payload, now) for number in range(100)]
        return counted(lambda: [line.do(delivery) for delivery in deliveries]) / len(deliveries)

    # On a busy machine a lease is looked at again meanwhile: the smallest number is that of the tasks alone.
    calls = min(settled() for _ in range(3))
    assert calls <= 76, f"{calls} function calls from a delivery to its settlement"


def deliveries_of(bench, flow):
    """The first tasks of a run of ``flow``, as a worker gets them."""
    flow.apply_async()
    payloads = [bench.broker.rpop("celery") for _ in range(bench.broker.llen("celery"))]
    return [
        Delivery(f"canvas:worker:{place}", "celery", payload, time.monotonic())
        for place, payload in enumerate(payloads)
    ]


def test_function_calls_of_a_node(bench, app, line):
    """A node whose success is one of the inputs of another."""
    flow = Workflow("wide", app)
    for _ in range(50):
        flow.add(task(app, "ident").s(1))
    first, *deliveries = deliveries_of(bench, flow)
    line.do(first)
    calls = fewest(lambda: [line.do(delivery) for delivery in deliveries]) / len(deliveries)
    assert calls <= 99, f"{calls} function calls from the delivery of a node to its settlement"


def test_the_end_of_a_node_is_the_same_on_the_general_way(bench, app, line):
    """Extended results are settled on the general way, and so are ends that do more than to be one input."""
    ident, flow = task(app, "ident"), Workflow("several", app)
    a, b, timed, forked = (flow.add(ident.s([1, {"x": None}]), name=name) for name in ("a", "b", "timed", "forked"))
    flow.timeout(timed, 60)
    flow.add(ident.s([a, b, forked]), name="data")
    flow.add(ident.s(1), name="order", after=[a, timed, forked])
    flow.add(ident.s(1), name="late", after=[flow.add(ident.s(7), name=name) for name in "gh"])
    flow.add(ident.s(1), name="any", after=[flow.add(ident.s(1), name=name) for name in "cd"], when="any_done")
    flow.add(task(app, "add").s(flow.add(ident.s(1), name="e"), flow.add(ident.s((2,)), name="f")), name="sum")
    flow.map(ident.s(), flow.add(ident.s([1]), name="items"))
    deliveries = deliveries_of(bench, flow)
    assert len(deliveries) == 11
    for delivery in deliveries:
        settlements = []
        for app.conf.result_extended in (False, True):
            settlements.append(line.do(delivery))
        plain, general = settlements
        assert list(plain.parts) == general.parts
        assert [(one.task_id, one.expires, one.success) for one in plain.stores] == [
            (one.task_id, one.expires, one.success) for one in general.stores
        ]
        others = ("fence", "disposal", "chord_starts", "mail", "runs", "deferrals", "keeps")
        assert all(list(getattr(plain, name) or ()) == list(getattr(general, name) or ()) for name in others)
        assert len(plain.publishes) == len(general.publishes)


SENDS = """
import sys
from tests.support.apps import make
from tests.support.counting import counted
from tests.support.forked import ROOT
from tests.worker.commands import task

app = make("canvas", *sys.argv[1:])
add = task(app, "add")


def build():
    return app.sender.encode(app.sender.plan(add.s(1, 2), (), {}, {}))


def timed():
    add.apply_async((1, 2), queue="other", countdown=5, expires=60)


for call in (build, lambda: add.delay(1, 2), timed, lambda: app.send_task("t.add", (1, 2))):
    call()
    # Rounded down: texts of times are made anew when a second begins.
    print(counted(lambda: [call() for _ in range(100)]) // 100)
"""


def test_what_a_task_costs_that_is_sent(bench):
    bench.broker.config_resetstat()
    # In a process of its own: what other tests have registered and connected takes part in each message.
    program = [sys.executable, "-c", SENDS, *bench.urls()[:2]]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=60)
    built, delayed, timed, by_name = map(float, done.stdout.split())
    assert built <= 82, f"{built} function calls from a signature to its message"
    assert delayed <= 85, f"{delayed} function calls of delay"
    assert timed <= 131, f"{timed} function calls of apply_async with a queue and times"
    assert by_name <= 81, f"{by_name} function calls of send_task"
    stats = bench.broker.info("commandstats")
    assert {name for name, stat in stats.items() if stat["calls"] >= 100} == {
        "cmdstat_evalsha", "cmdstat_lpush", "cmdstat_set",
    }  # fmt: skip


def test_what_a_signal_costs(bench, app):
    """One read of the run, and one script that gives the signal to the node and takes the next step."""
    flow = Workflow("waits", app)
    flow.add(task(app, "ident").s(flow.wait_for("answer")))
    runs = [flow.apply_async().id for _ in range(20)]
    broker, backend, _ = bench.urls()
    with Canvas("signals", broker=broker, backend=backend, set_as_current=False) as other:
        other.workflow(runs.pop()).signal("answer", 1)
        bench.broker.config_resetstat()
        for run in runs:
            other.workflow(run).signal("answer", 1)
    stats = bench.broker.info("commandstats")
    calls = [stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] / len(runs) for name in ("hmget", "evalsha", "mget")]
    assert calls == [1, 1, 0]


def test_what_signals_of_one_moment_cost(bench, app):
    """One script for 50 of them."""
    flow = Workflow("waits", app)
    flow.add(task(app, "ident").s(flow.wait_for("answer")))
    runs = [flow.apply_async() for _ in range(100)]

    async def at_once():
        await asyncio.gather(*(run.asignal("answer", 1) for run in runs))

    bench.broker.config_resetstat()
    asyncio.run(at_once())
    assert bench.broker.info("commandstats")["cmdstat_evalsha"]["calls"] == 2
    assert bench.broker.llen("celery") == 100


def test_runs_that_are_leased_together_are_read_together(bench, app, process, line):
    """A run that cannot be read ends its own task alone."""
    flow = Workflow("small", app)
    flow.add(task(app, "ident").s(1))
    runs = [flow.apply_async() for _ in range(20)]
    payloads = [bench.broker.rpop("celery") for _ in runs] + [b"no message of canvas_run"]
    deliveries = [Delivery(f"a:{at}", "celery", payload, time.monotonic()) for at, payload in enumerate(payloads)]
    bench.results.hset(f"canvas:run:{runs[0].id}", "0.0", b"garbage")
    bench.results.delete(f"canvas:run:{runs[1].id}")
    process._leased(LeaseReply(deliveries, 0, 0))
    before = bench.broker.info("stats")["total_reads_processed"]
    settled = [line.do(delivery) for delivery in deliveries[2:20]]
    assert bench.broker.info("stats")["total_reads_processed"] - before == 1, "the count itself"
    assert all(len(one.stores) == 2 for one in settled)
    lost = [line.do(delivery).stores[-1].payload for delivery in deliveries[:2]]
    assert b"not a compressed field" in lost[0] and b"it has expired" in lost[1]


def test_what_finding_runs_costs(bench, app):
    """The definitions of all runs come in one round trip."""
    flow = Workflow("found", app)
    flow.add(task(app, "ident").s(flow.wait_for("answer")))
    runs = {flow.apply_async().id for _ in range(50)}
    before = bench.broker.info("stats")["total_reads_processed"]
    assert {run.id for run in app.runs(name="found")} == runs
    assert bench.broker.info("stats")["total_reads_processed"] - before <= 10


def test_calls_to_redis(bench, app):
    """All wait before the worker starts: it leases and settles in batches, one script for both.

    A batch ends when it is half full, or when what is finished has waited: on a slow machine there are more of them.
    """
    for _ in range(TASKS):
        task(app, "ident").apply_async((1,))
    bench.broker.config_resetstat()
    with start(bench, "-P", "solo", env={"APP_PREFETCH_SECONDS": "60"}):
        eventually(lambda: bench.results.dbsize() >= TASKS)
    stats = bench.broker.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
    often = {name: calls.pop(name) // TASKS for name in ("set", "publish")}
    assert often == {"set": 1, "publish": 1}
    assert calls.pop("select") <= 2 * calls["evalsha"] + 20, "a call goes to the results and back"
    del calls["dbsize"]  # the condition above
    ends = [datetime.fromisoformat(json.loads(bench.results.get(key))["date_done"]) for key in bench.results.keys()]
    waited = (max(ends) - min(ends)).total_seconds() / LINGER
    assert {name: count for name, count in calls.items() if count > TASKS / 10 + 2 * waited} == {}


def test_a_chain_takes_one_call_a_link(bench, app):
    links = 50
    with start(bench, "-P", "solo"):
        task(app, "ident").delay(1).get(timeout=20)
        chain = task(app, "ident").s(1)
        for _ in range(links - 1):
            chain |= task(app, "ident").s()
        # The first one imports what compiles it, while the worker's periodic duties are counted.
        chain.delay().get(timeout=20)
        bench.broker.config_resetstat()
        assert chain.delay().get(timeout=20) == 1
        stats = bench.broker.info("commandstats")
        calls = stats["cmdstat_evalsha"]["calls"]
    assert calls <= links * 1.5 + 10, f"{calls} calls for {links} links"
    assert stats.get("cmdstat_hexists", {"calls": 0})["calls"] <= 5, "a link is settled on the general way"


def test_the_next_link_is_decoded_while_redis_settles_the_last(process, bench, app):
    link = task(app, "ident")
    (link.s(1) | link.s() | link.s()).delay()
    loop, line = process.loop, process._pipeline
    loop.work_for_loop()
    for decoding in (False, True, True):
        delivery = loop.next_work()
        loop.begin(0)
        assert (counted(lambda: line.decoder.decode(delivery.payload)) <= 3) is decoding  # noqa: B023 - called at once
        loop.complete(0, line.do(delivery))
        loop.work_for_loop()
    assert bench.broker.hlen("unacked") == 0


def test_joins_of_a_run_take_no_call_of_their_own(bench, app):
    """The process that returns the last part sends what waits for it in the same call."""
    levels, flow, last = 20, Workflow("ladder", app), []
    for level in range(levels):
        sides = [flow.add(task(app, "ident").si(1), name=f"{level}{side}", after=last) for side in "ab"]
        last = [flow.add(task(app, "ident").si(1), name=f"{level}", after=sides)]
    with start(bench, "-P", "solo"):
        flow.apply_async().get(timeout=20)
        bench.broker.config_resetstat()
        assert flow.apply_async().get(timeout=20) == 1
        calls = bench.broker.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert calls <= levels * 2.5 + 15, f"{calls} calls for {levels} joins of two tasks each"


def test_a_sleep_ends_without_a_chord_of_its_own(bench, app):
    """The settlement of its timer takes the next step; each part of a chord takes one SISMEMBER."""
    sleeps, flow = 30, Workflow("sleeps", app)
    flow.add(task(app, "ident").si(1), after=[flow.sleep(0.1, name=f"sleep {number}") for number in range(sleeps)])
    with start(bench, "-P", "solo"):
        task(app, "ident").delay(1).get(timeout=20)
        bench.broker.config_resetstat()
        assert flow.apply_async().get(timeout=20) == 1
        calls = bench.broker.info("commandstats")["cmdstat_sismember"]["calls"]
    assert sleeps <= calls <= sleeps * 1.5, f"{calls} parts for {sleeps} sleeps"


def test_bytes_of_a_message(bench, app):
    """No more than Celery's own."""
    broker, backend, ledger = bench.urls()
    celery = make("celery", broker, backend, ledger=ledger)
    sizes = {}
    for name, client in (("canvas", app), ("celery", celery)):
        client.tasks["t.add"].apply_async((1, 2), queue="sample")
        sizes[name] = len(json.dumps(json.loads(bench.broker.rpop("sample")), separators=(",", ":")))
    assert sizes["canvas"] <= sizes["celery"]


def test_an_idle_worker_asks_for_nothing(bench, app):
    """It waits in Redis; what it runs meanwhile makes it no more curious."""
    with start(bench, "-P", "solo"):
        task(app, "ident").delay(1).get(timeout=20)
        bench.broker.config_resetstat()
        task(app, "slow_then").delay(2, bench.new_key()).get(timeout=20)
        assert bench.broker.info("commandstats")["cmdstat_rpop"]["calls"] <= 40
