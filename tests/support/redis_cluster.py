"""A Redis Cluster for tests: its nodes on free loopback ports."""

import time

import redis

from canvas.drivers.redis.cluster.slots import SLOTS
from tests.support.redis_server import RedisServer, free_port

_DEADLINE = 60


class Node(RedisServer):
    """A node; its port for the other nodes is a free one too."""

    def __init__(self, *arguments):
        self.bus_port = free_port()
        super().__init__("--cluster-port", str(self.bus_port), *arguments)


class RedisCluster:
    """Starts with ``with``: ``masters`` nodes that share the slots, each with ``replicas`` nodes of its own."""

    def __init__(self, masters=3, replicas=0, node_timeout=1000, arguments=()):
        self.node_timeout = node_timeout
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout), *arguments)
        made = [Node(*options) for _ in range(masters * (1 + replicas))]
        self.masters, self.replicas = made[:masters], made[masters:]

    @property
    def nodes(self):
        return [*self.masters, *self.replicas]

    def url(self, scheme="redis+cluster"):
        return f"{scheme}://127.0.0.1:{self.masters[0].port}"

    def __enter__(self):
        for node in self.nodes:
            node.start()
        for place, node in enumerate(self.masters):
            first, last = place * SLOTS // len(self.masters), (place + 1) * SLOTS // len(self.masters) - 1
            node.client().execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            # Nodes that claim different epochs agree at once, where equal ones would have to be found out.
            node.client().execute_command("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
        self.meet()
        for place, node in enumerate(self.replicas):
            master = self.masters[place % len(self.masters)]
            node.client().execute_command("CLUSTER", "REPLICATE", self.id_of(master))
        self.until(self.whole)
        return self

    def meet(self):
        """Have the nodes know each other."""
        for node in self.nodes[1:]:
            self.nodes[0].client().execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
        self.until(lambda: all(len(self.known(node)) == len(self.nodes) for node in self.nodes))

    def known(self, node):
        return node.client().cluster("nodes")

    def id_of(self, node):
        found = node.client().execute_command("CLUSTER", "MYID")
        return found.decode() if isinstance(found, bytes) else found

    def whole(self):
        """Whether every node that runs finds that all slots are served, and each replica follows its master."""
        running = [node for node in self.nodes if node.process is not None]
        return all(node.client().cluster("info")["cluster_state"] == "ok" for node in running) and all(
            node.client().info("replication").get("master_link_status", "up") == "up" for node in running
        )

    def until(self, condition):
        deadline = time.monotonic() + _DEADLINE
        while True:
            try:
                if condition():
                    return
            except redis.RedisError as exc:
                if time.monotonic() > deadline:
                    raise AssertionError("the cluster is not ready") from exc
            assert time.monotonic() < deadline, [self.known(node) for node in self.nodes if node.process is not None]
            time.sleep(0.05)

    def owner(self, slot):
        """The running node that serves a slot."""
        for first, last, (_, port, *_), *_ in self._running().client().execute_command("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError(f"slot {slot} is not served")

    def _running(self):
        return next(node for node in self.nodes if node.process is not None)

    def serving(self):
        """The nodes that are masters now."""
        return [node for node in self.nodes if node.process is not None and _is_master(node)]

    def masters_now(self):
        """Clients of those."""
        return [node.client() for node in self.serving()]

    def replicas_now(self):
        """The nodes that are replicas now."""
        return [node for node in self.nodes if node.process is not None and not _is_master(node)]

    def take_over(self, node):
        """Have a replica become the master of its slots, in good order: nothing is lost."""
        asked = 0.0

        def taken():
            nonlocal asked
            if _is_master(node):
                return True
            # A node gives up after five seconds when its master was too busy to agree.
            if time.monotonic() - asked > 6:
                asked = time.monotonic()
                node.client().execute_command("CLUSTER", "FAILOVER")
            return False

        self.until(taken)

    def flush(self):
        for client in self.masters_now():
            client.flushall()

    def migrate(self, slot, target, between=lambda: None, first=None):
        """Move a slot to another master, key by key; ``between`` is called when a half of the keys has moved, or those
        that ``first`` chooses."""
        source = self.owner(slot)
        there, here = target.client(), source.client()
        there.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        here.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))
        keys = here.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1_000_000)
        self._move(here, target, keys[: len(keys) // 2] if first is None else list(filter(first, keys)))
        between()
        while keys := here.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1_000):
            self._move(here, target, keys)
        for node in dict.fromkeys([target, source, *self.serving()]):
            node.client().execute_command("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(target))
        # A node that did not know the target's new epoch could take the slot back from the next one.
        self.until(self.agreed)

    def agreed(self):
        """Whether the running nodes have the same epochs and slots for each other."""
        running = [node for node in self.nodes if node.process is not None]
        views = [
            {address.partition("@")[0]: (one["epoch"], one["slots"]) for address, one in self.known(node).items()}
            for node in running
        ]
        return all(view == views[0] for view in views)

    def _move(self, here, target, keys):
        if keys:
            here.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)

    def __exit__(self, *exc):
        for node in self.nodes:
            node.__exit__(*exc)


def _is_master(node):
    return node.client().info("replication")["role"] == "master"
