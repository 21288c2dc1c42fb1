import pytest
import redis

from tests.support.ledger import Bench
from tests.support.redis_server import RedisServer


class Apart(Bench):
    """A bench whose ledger is on a server of its own: nothing that happens to the other reaches it."""

    def __init__(self, server, ledger):
        super().__init__(server)
        self._ledger = ledger
        self.ledgers = redis.Redis.from_url(ledger.url(0), decode_responses=True)

    def urls(self):
        return self.server.url(0), self.server.url(1), self._ledger.url(0)


class OnTwo(Apart):
    """Broker and results on a server each."""

    def __init__(self, server, second, ledger):
        super().__init__(server, ledger)
        self.second = second
        self.results = redis.Redis.from_url(second.url(1))

    def urls(self):
        return self.server.url(0), self.second.url(1), self._ledger.url(0)

    def empty(self):
        super().empty()
        self.second.client().flushall()


@pytest.fixture(scope="module")
def bench():
    with RedisServer() as server, RedisServer() as ledger:
        yield Apart(server, ledger)


@pytest.fixture(scope="module")
def two_servers():
    with RedisServer() as server, RedisServer() as second, RedisServer() as ledger:
        yield OnTwo(server, second, ledger)


@pytest.fixture
def client(two_servers):
    with two_servers.client() as client:
        yield client
