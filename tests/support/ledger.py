"""One Redis for a test's broker and results, and a ledger of what really ran."""

import time
import uuid
from contextlib import contextmanager

import redis as redis_client

from tests.support.apps import make
from tests.support.keys import assert_accounted_for


class Bench:
    """One server: broker in db 0, results in db 1, the ledger of executions in db 2."""

    settings = {}
    """Of its workers, as ``WorkerProcess`` takes them."""

    def __init__(self, server):
        self.server = server
        self.broker = redis_client.Redis.from_url(server.url(0))
        self.results = redis_client.Redis.from_url(server.url(1))
        self.ledgers = redis_client.Redis.from_url(server.url(2), decode_responses=True)

    def urls(self):
        return self.server.url(0), self.server.url(1), self.server.url(2)

    def empty(self):
        self.server.client().flushall()

    @contextmanager
    def client(self):
        """A client of the emptied server; afterwards each key there is accounted for."""
        self.empty()
        broker, backend, ledger = self.urls()
        app = make("canvas", broker, backend, ledger=ledger)
        yield app
        app.close()
        assert_accounted_for(self)

    def subscriptions(self):
        """How many patterns of channels the clients of the broker have subscribed to: events come to these."""
        return sum(int(client["psub"]) for client in self.broker.client_list())

    def new_key(self):
        return uuid.uuid4().hex

    def open(self, key):
        """Let the tasks ``t.until_open`` and ``t.a_until_open`` of that key end, which run until now."""
        self.ledgers.set(f"open:{key}", 1, ex=600)

    def close(self, key):
        """Have those that start from now on wait for the next ``open``."""
        self.ledgers.delete(f"open:{key}")

    def notes(self, key):
        """What was noted under ``key``."""
        return self.ledgers.lrange(f"ledger:{key}", 0, -1)

    def ledger(self, key, at_least, timeout=20):
        """What was noted under ``key``, once there are so many notes."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found = self.notes(key)
            if len(found) >= at_least:
                return found
            time.sleep(0.01)
        raise AssertionError(f"{key}: expected {at_least} notes in {timeout} s; got {found}")

    def wait_state(self, app, task_id, timeout=20):
        """The task's final state, once it has one."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            state = app.AsyncResult(task_id).state
            if state in ("SUCCESS", "FAILURE", "REVOKED"):
                return state
            time.sleep(0.01)
        raise AssertionError(f"{task_id} is {state} after {timeout} s")
