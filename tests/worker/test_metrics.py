"""The HTTP endpoint, Prometheus metrics, OpenTelemetry spans."""

import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from canvas.testing.contract import eventually
from tests.support.processes import ROOT, WorkerProcess, members
from tests.support.redis_server import free_port
from tests.worker.commands import start

LISTENS = "0A"
"""A socket's state in ``/proc/net/tcp``."""


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


def value(page, metric, /, **labels):
    """The value of one line of Prometheus' text."""
    for line in page.splitlines():
        if line.startswith(metric + "{") and all(f'{key}="{text}"' in line for key, text in labels.items()):
            return float(line.rpartition(" ")[2])
    return None


@pytest.mark.parametrize(
    "pool",
    [("prefork", "-c", "2"), pytest.param(("threads", "-c", "2"), marks=pytest.mark.slow)],
    ids=lambda pool: pool[0],
)
def test_metrics_of_all_processes_of_a_node(bench, app, pool):
    from canvas import chord

    port, key = free_port(), bench.new_key()
    with start(bench, "-P", *pool, "-n", "one@here", "--http-address", str(port)):
        chord([app.tasks["t.add"].s(i, i) for i in range(10)], app.tasks["t.tsum"].s()).delay().get(timeout=20)
        failed = app.tasks["t.fail"].delay()
        bench.wait_state(app, failed.id)
        app.tasks["t.flaky"].delay(1).get(timeout=20)
        unknown = app.send_task("t.nobody")
        bench.wait_state(app, unknown.id)
        app.tasks["t.until_open"].delay(key)
        bench.ledger(key, 1)
        here = {"hostname": "one@here"}

        counts = [
            ("celery_task_succeeded_total", {"name": "t.add"}, 10),
            ("celery_task_received_total", {"name": "t.add"}, 10),
            ("celery_task_started_total", {"name": "t.tsum"}, 1),
            ("celery_task_failed_total", {"name": "t.fail", "exception": "ValueError"}, 1),
            ("celery_task_retried_total", {"name": "t.flaky"}, 1),
            ("celery_task_runtime_count", {"name": "t.add"}, 10),
            ("canvas_task_prefetch_wait_seconds_count", {"name": "t.add"}, 10),
            ("canvas_chords_completed_total", {}, 1),
            ("celery_worker_tasks_active", {}, 1),
        ]

        def counted():
            """A process counts the end of a task when others can read its result already."""
            page = get(port, "/metrics")[1]
            return all(value(page, name, **labels, **here) == count for name, labels, count in counts) and page

        page = eventually(counted)
        assert value(page, "canvas_settlement_batch_count", **here) > 0
        assert value(page, "celery_worker_up", **here) == 1
        assert value(page, "celery_queue_length", queue_name="celery") == 0
        assert value(page, "canvas_messages_in_flight", state="leased") == 1
        assert value(page, "canvas_dead_letter_queue_length", queue_name="celery") == 1
        assert get(port, "/health") == (200, "ok\n")
        assert get(port, "/nothing")[0] == 404
        bench.open(key)


def open_files(pid):
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            found.add(os.readlink(path))
    return found


@pytest.mark.slow
def test_the_port_goes_with_the_node_however_it_ends(bench, app):
    """Children, which end a moment later, do not hold it."""
    port = free_port()
    with start(bench, "-P", "prefork", "-c", "1", "--http-address", str(port)) as worker:
        app.tasks["t.add"].delay(1, 1).get(timeout=20)
        parent, child = members(worker.process.pid)
        sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        (inode,) = [fields[9] for fields in sockets if fields[1].endswith(f":{port:04X}") and fields[3] == LISTENS]
        assert f"socket:[{inode}]" in open_files(parent)
        assert f"socket:[{inode}]" not in open_files(child)
        worker.process.kill()
        worker.process.wait()
        with socket.socket() as next_one:
            next_one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            next_one.bind(("127.0.0.1", port))


def test_health_says_when_the_broker_is_gone(bench):
    from tests.support.redis_server import RedisServer

    port = free_port()
    with RedisServer() as server:
        worker = WorkerProcess(
            "canvas", server.url(0), server.url(1), "-P", "solo", "--http-address", str(port)
        ).ready()
        assert get(port, "/health")[0] == 200
        server.stop()
        status, text = get(port, "/health")
        assert (status, "the broker does not answer" in text) == (503, True)
        worker.process.kill()
        worker.process.wait()


@pytest.mark.parametrize("pool", ["solo", "prefork"])
def test_a_worker_that_waits_for_its_broker_is_alive_and_not_healthy(pool):
    from tests.support.redis_server import RedisServer

    port = free_port()
    with RedisServer() as server:
        server.stop()
        urls = server.url(0), server.url(1)
        worker = WorkerProcess("canvas", *urls, "-P", pool, "-c", "1", "--http-address", str(port))
        try:
            worker.wait_for("Trying again")
            assert get(port, "/livez") == (200, "ok\n")
            assert [get(port, path)[0] for path in ("/health", "/metrics")] == [503, 503]
            server.start()
            eventually(lambda: get(port, "/health")[0] == 200)
            assert "celery_worker_up" in get(port, "/metrics")[1]
        finally:
            worker.stop()


@pytest.mark.slow
def test_an_address_that_cannot_be_had_is_refused(bench, tmp_path):
    port, pid_file = free_port(), tmp_path / "second.pid"
    with start(bench, "-P", "solo", "--http-address", str(port)):
        second = start(bench, "-P", "solo", "--http-address", str(port), "--pidfile", str(pid_file))
        assert second.wait() == 2
        assert not pid_file.exists()
        assert re.search(rf"--http-address 127.0.0.1:{port}: Address already in use", "".join(second.log))
    third = start(bench, "--http-address", "nowhere")
    assert third.wait() == 2
    assert "expected host:port" in "".join(third.log)


SPANS = """
import json, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
import canvas, canvas.integrations.opentelemetry
from canvas.worker.node import plan_node
from canvas.worker.options import new_worker_id
from canvas.worker.process import WorkerProcess
import threading

exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
end = canvas.integrations.opentelemetry.instrument(provider)
app = canvas.Canvas("otel", broker="memory://otel", backend="memory://otel")
add = app.task(name="add")(lambda x, y: x + y)

@app.task(name="fail")
def fail(x):
    with trace.get_tracer("mine", tracer_provider=provider).start_as_current_span("inner"):
        raise ValueError("boom")

@app.task(name="later")
async def later(x):
    return x

process = WorkerProcess(app, plan_node(app, pool=sys.argv[1], concurrency=2), 2, new_worker_id("here"))
thread = threading.Thread(target=process.run)
thread.start()
with trace.get_tracer("mine", tracer_provider=provider).start_as_current_span("outer"):
    result = (add.s(1, 2) | later.s() | fail.s()).delay()
try:
    result.get(timeout=20)
except ValueError:
    pass
process.stop(); thread.join()
end()
spans = exporter.get_finished_spans()
names = {span.context.span_id: span.name for span in spans}
print(json.dumps([
    [s.name, names.get(s.parent.span_id) if s.parent else None, s.kind.name, s.status.status_code.name, s.context.trace_id]
    for s in spans
]))
"""


@pytest.mark.parametrize("pool", ["threads", "asyncio"])
def test_spans_of_a_workflow_are_one_trace(pool):
    run = subprocess.run(
        [sys.executable, "-c", SPANS, pool], cwd=ROOT, capture_output=True, text=True, timeout=60, env=dict(os.environ)
    )
    assert run.returncode == 0, run.stderr
    spans = json.loads(run.stdout)
    assert len({trace for *_, trace in spans}) == 1
    assert sorted(span[:4] for span in spans) == [
        ["apply_async/add", "outer", "PRODUCER", "UNSET"],
        ["apply_async/fail", "run/later", "PRODUCER", "UNSET"],
        ["apply_async/later", "run/add", "PRODUCER", "UNSET"],
        ["inner", "run/fail", "INTERNAL", "ERROR"],
        ["outer", None, "INTERNAL", "UNSET"],
        ["run/add", "apply_async/add", "CONSUMER", "UNSET"],
        ["run/fail", "apply_async/fail", "CONSUMER", "ERROR"],
        ["run/later", "apply_async/later", "CONSUMER", "UNSET"],
    ]
