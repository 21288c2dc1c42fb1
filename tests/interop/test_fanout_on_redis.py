"""On Redis, fanout exchanges are channels: each worker that listens runs a copy, whoever of canvas and Celery sends."""

import logging
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import celery
import pytest
from celery.contrib.testing.worker import start_worker as start_celery
from kombu import Exchange, Queue
from kombu.common import Broadcast

from canvas import Canvas
from canvas.testing.contract import eventually
from canvas.testing.worker import start_worker

PROGRAM = """
import time
from canvas import Canvas
from kombu import Queue
from kombu.common import Broadcast

app = Canvas("killed", broker={url!r}, task_queues=[Broadcast("all"), Queue("other")], worker_lease_ttl=2)
app.conf.task_acks_late = True


@app.task(name="note")
def note():
    open({ran!r}, "w").close()
    time.sleep(60)
"""
KINDS = {"broadcast": lambda: Broadcast("all"), "named": lambda: Queue("all", Exchange("images", type="fanout"))}


class Program:
    """An app, and what its worker has run."""

    def __init__(self, library, url, queue):
        self.app = library(f"p{time.monotonic_ns()}", broker=url, backend="disabled://", set_as_current=False)
        self.app.conf.update(
            task_queues=[queue, Queue("other")],
            task_default_queue="other",
            task_routes={"note": {"queue": "all"}},
        )
        self.ran, self.gate = [], threading.Event()
        self.gate.set()

        @self.app.task(name="note", bind=True, max_retries=1, shared=False)
        def note(task, value, again=False):
            self.ran.append(value)
            self.gate.wait(20)
            if again and not task.request.retries:
                raise task.retry(countdown=0.2)

    def worker(self):
        options = {"perform_ping_check": False}
        if isinstance(self.app, Canvas):
            return start_worker(self.app, **options)
        return start_celery(self.app, pool="solo", shutdown_timeout=20, **options)


@pytest.fixture
def server(own_server):
    own_server.client(0).flushall()
    return own_server


@pytest.fixture
def programs(server, request):
    """A client and a worker of each library."""
    made = [Program(library, server.url(0), KINDS[request.param]()) for library in (Canvas, celery.Celery) * 2]
    yield made
    for one in made:
        one.app.close()


LEFT_OUT = {"broadcast": ["again", "theirs"], "named": []}
"""What Celery's worker misses: for Celery's clients, and its retries, a Broadcast that they have not declared is a direct
exchange, whose lists Celery's workers do not read."""


@pytest.mark.parametrize("programs", KINDS, indirect=True)
def test_each_worker_that_listens_runs_what_is_sent(server, programs, request):
    ours, theirs, *workers = programs
    client = server.client(0)
    for one in (ours, theirs):
        one.app.send_task("note", ("nobody listens",))
    with ExitStack() as stack:
        for one in workers:
            stack.enter_context(one.worker())
        # Each for its commands and for the exchange.
        eventually(lambda: sum(int(one["psub"]) for one in client.client_list()) == 4)
        ours.app.send_task("note", ("ours",))
        theirs.app.send_task("note", ("theirs",))
        ours.app.send_task("note", ("again", True))
        # The retry of each worker is sent to the exchange, and each worker runs it.
        expected = ["again"] * 3 + ["ours", "theirs"]
        celerys = expected.copy()
        for value in LEFT_OUT[request.node.callspec.params["programs"]]:
            celerys.remove(value)
        eventually(lambda: [sorted(one.ran) for one in workers] == [expected, celerys])
        own = next(iter(client.hkeys("canvas:fanout"))).decode()
        assert canvas_bindings(client) != []
    assert canvas_bindings(client) == []
    assert not client.exists(own, "canvas:fanout", "canvas:delayed:messages")


def canvas_bindings(client):
    members = (member for key in client.keys("_kombu.binding*.*") for member in client.smembers(key))
    return [member for member in members if b"canvas:fanout" in member]


@pytest.mark.slow
def test_a_killed_worker_leaves_nothing(server, tmp_path):
    """Not the tasks that it ran, nor those that are due later."""
    url, code = server.url(0), tmp_path / "killed.py"
    code.write_text(PROGRAM.format(url=url, ran=str(tmp_path / "ran")))
    client, killed = server.client(0), None
    try:
        killed = subprocess.Popen(
            [sys.executable, "-m", "canvas", "-A", "killed", "worker", "-P", "solo"], cwd=tmp_path,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        app = Canvas("sender", broker=url, set_as_current=False, task_queues=[Broadcast("all"), Queue("other")])
        eventually(lambda: client.hlen("canvas:fanout") and client.pubsub_numpat() == 2)
        own = client.hkeys("canvas:fanout")[0].decode()
        app.send_task("note", queue="all", countdown=4)
        app.send_task("note", queue="all")
        eventually(lambda: (tmp_path / "ran").exists() and client.hlen("canvas:delayed:messages"))
        app.send_task("note", queue="all")
        eventually(lambda: client.llen(own))
        killed.kill()
        killed.wait()
        app.conf.update(worker_lease_ttl=2, task_queues=[Queue("other")])
        with start_worker(app, perform_ping_check=False):
            eventually(lambda: not client.exists("canvas:fanout", own, "unacked"))
            eventually(lambda: not client.exists("canvas:delayed:messages"))
        assert not client.exists(own) and canvas_bindings(client) == []
    finally:
        if killed is not None:
            killed.kill()
            killed.wait()
        app.close()


def test_a_message_without_a_queue_is_reported(server, caplog):
    caplog.set_level(logging.WARNING)
    for url in (server.url(0), "memory://unbound"):
        app = Canvas("sender", broker=url, set_as_current=False)
        caplog.clear()
        result = app.send_task("note", exchange="lonely", routing_key="k", exchange_type="topic")
        assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
            f"The message of task note[{result.id}] reaches no queue and is dropped: "
            "exchange 'lonely' has no queue for the routing key 'k'"
        ]
        app.close()
