"""A bench without a Redis server but for the ledger: any broker, and results in a database, which also has the state."""

from contextlib import contextmanager

import redis
from sqlalchemy import MetaData, create_engine, func, select
from sqlalchemy.exc import InvalidRequestError

from canvas.testing.contract import eventually
from tests.support.apps import make
from tests.support.ledger import Bench
from tests.worker.commands import start

KEPT = ("leases", "outbox", "permits", "blocked_messages")
"""Tables that are empty when nothing runs and nothing waits, after ``canvas_``."""


class SqlBench(Bench):
    """``postgres``, ``proxy`` and ``node``: what a storm may stop, cut and kill."""

    postgres = proxy = node = None
    queue_type = "classic"

    def __init__(self, broker, database, ledger):
        self.url, self.database = broker, database
        self._ledger = ledger.url(2)
        self.ledgers = redis.Redis.from_url(self._ledger, decode_responses=True)
        self.engine = create_engine(database[3:])

    def urls(self):
        return self.url, self.database, self._ledger

    @contextmanager
    def client(self):
        app = make("canvas", *self.urls()[:2], ledger=self._ledger, task_default_queue_type=self.queue_type)
        app.driver.admin.purge("celery")
        yield app
        app.close()

    def close(self):
        self.engine.dispose()
        self.ledgers.close()

    def count(self, table, **where):
        """The rows of one of canvas' tables."""
        try:
            found = MetaData()
            found.reflect(self.engine, only=[f"canvas_{table}"])
        except InvalidRequestError:
            return 0
        rows = found.tables[f"canvas_{table}"]
        query = select(func.count()).select_from(rows).where(*(rows.c[name] == value for name, value in where.items()))
        with self.engine.connect() as connection:
            return connection.execute(query).scalar_one()


def assert_nothing_is_left(bench, app):
    """Once a worker has looked for the dead: no message, lease, worker or open chord."""
    with start(bench, "-P", "solo", "-n", "last@%h", short_leases=1):
        eventually(lambda: bench.count("workers") <= 1, 60)
        eventually(lambda: not bench.count("chords", state="ready"), 60)
        eventually(lambda: not any(bench.count(table) for table in KEPT), 60)
    eventually(lambda: bench.count("workers") == 0)
    eventually(lambda: app.driver.admin.queue_length("celery") == 0)
