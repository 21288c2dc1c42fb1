"""A bench whose broker and results are in a Redis Cluster."""

from collections import Counter

import redis

from tests.support.ledger import Bench


class ClusterBench(Bench):
    """Broker and results in one cluster, the ledger of executions on a server of its own."""

    def __init__(self, cluster, ledger):
        self.cluster = cluster
        self._ledger = ledger.url(0)
        self.ledgers = redis.Redis.from_url(self._ledger, decode_responses=True)

    def urls(self):
        return self.cluster.url(), self.cluster.url(), self._ledger

    def empty(self):
        self.cluster.flush()
        self.ledgers.flushall()

    def keys(self):
        """The keys of all masters without their hash tags, each with the seconds that it lives, -1: without an end."""
        found = []
        for client in self.cluster.masters_now():
            found += [(name.decode().partition("}:")[2], client.ttl(name)) for name in client.keys()]
        return found

    def lasting(self):
        """How often each key stays that is no queue's binding."""
        return Counter(name for name, ttl in self.keys() if ttl == -1 and not name.startswith("_kombu.binding"))
