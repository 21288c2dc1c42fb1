"""The four pairings of canvas and real Celery 5.7: who sends, and who runs."""

import json
from contextlib import ExitStack

import pytest

from tests.support.apps import make
from tests.support.ledger import Bench
from tests.support.processes import WorkerProcess
from tests.support.redis_server import RedisServer

PAIRINGS = [("celery", "canvas"), ("canvas", "celery"), ("canvas", "canvas"), ("celery", "celery")]


class Pair:
    """A client's library and app, who runs what it sends, and the server between them."""

    def __init__(self, client, worker, app, bench):
        self.client = client
        self.worker = worker
        self.lib = __import__(client)
        self.app = app
        self.bench = bench

    def s(self, name, *args, **kwargs):
        return self.app.tasks[f"t.{name}"].s(*args, **kwargs)

    def si(self, name, *args, **kwargs):
        return self.app.tasks[f"t.{name}"].si(*args, **kwargs)

    def run(self, signature, timeout=30):
        """Its value."""
        return signature.apply_async().get(timeout=timeout)

    def record(self, task_id):
        """What is stored of a task, as JSON says it; ``None`` when nothing is."""
        found = self.bench.results.get(f"celery-task-meta-{task_id}")
        return json.loads(found) if found else None


@pytest.fixture(scope="session", params=PAIRINGS, ids=lambda p: f"{p[0]}-client-{p[1]}-worker")
def pair(request):
    client, worker = request.param
    with RedisServer() as server:
        bench = Bench(server)
        broker, backend, ledger = bench.urls()
        with WorkerProcess(worker, broker, backend, "-P", "threads", "-c", "4", ledger=ledger):
            app = make(client, broker, backend, ledger=ledger)
            yield Pair(client, worker, app, bench)
            app.close()


@pytest.fixture(scope="session")
def pairs():
    """All four at once, each on a server of its own; canvas with canvas first."""
    with ExitStack() as stack:
        found = []
        for client, worker in sorted(PAIRINGS):
            bench = Bench(stack.enter_context(RedisServer()))
            broker, backend, ledger = bench.urls()
            arguments = ("-P", "threads", "-c", "2")
            stack.enter_context(WorkerProcess(worker, broker, backend, *arguments, ledger=ledger, acks_late="1"))
            app = make(client, broker, backend, ledger=ledger)
            stack.callback(app.close)
            found.append(Pair(client, worker, app, bench))
        yield found
