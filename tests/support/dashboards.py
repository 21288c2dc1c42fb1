"""A dashboard served in this process, and a fleet of workers of both libraries behind it."""

import threading
import time
from contextlib import contextmanager

import httpx
import uvicorn

from canvas.dashboard import dashboard
from tests.support.apps import make
from tests.support.processes import WorkerProcess


def eventually(look, timeout=30, shown=str):
    """What ``look`` gives, once that is true; ``shown`` gives what the error says besides."""
    deadline = time.monotonic() + timeout
    found = look()
    while not found:
        assert time.monotonic() < deadline, f"still {found!r} after {timeout} s {shown()}"
        time.sleep(0.05)
        found = look()
    return found


class Served:
    """A dashboard that listens on a port of loopback, with a client that acts as a program."""

    def __init__(self, app, **options):
        self.dashboard = dashboard(app, **options)
        config = uvicorn.Config(
            self.dashboard, host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=1
        )
        self._socket = config.bind_socket()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self.client = httpx.Client(base_url=self.url, timeout=30)

    def __enter__(self):
        self._thread.start()
        eventually(lambda: self._server.started)
        return self

    def __exit__(self, *exc):
        self.client.close()
        self._server.should_exit = True
        self._thread.join(20)

    def get(self, path, **query):
        """The JSON of a path below ``/api/v1``."""
        answer = self.client.get(f"/api/v1{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path, status=200, **body):
        """The JSON of an action."""
        answer = self.client.post(f"/api/v1{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()


@contextmanager
def served(app, **options):
    with Served(app, **options) as found:
        yield found


@contextmanager
def fleet(bench, slots=1, inspect_timeout=0.5, **settings):
    """A dashboard, and behind it a canvas worker, and a Celery worker of the queue ``other``."""
    broker, backend, ledger = bench.urls()
    ours = ("-E", "-c", str(slots), "-P", "threads", "-n", "ours@h")
    theirs = ("-E", "-c", "1", "-P", "solo", "-n", "theirs@h", "-Q", "other")
    with (
        make("canvas", broker, backend, ledger=ledger, **settings) as app,
        WorkerProcess("canvas", broker, backend, *ours, ledger=ledger) as worker,
        WorkerProcess("celery", broker, backend, *theirs) as other,
        served(app, inspect_timeout=inspect_timeout) as page,
    ):
        worker.ready()
        other.ready()
        page.app, page.bench, page.ours, page.theirs = app, bench, worker, other
        eventually(lambda: page.get("/overview")["sources"].get("events", {}).get("ok"))
        yield page
