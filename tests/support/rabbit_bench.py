"""A bench whose broker is RabbitMQ; state and results are in one database of its Redis server."""

import os
import socket
import stat
from contextlib import contextmanager, suppress

import amqp
import redis

from canvas.drivers.amqp.url import parse
from tests.support.ledger import Bench
from tests.support.proxy import Proxy


class RabbitBench(Bench):
    """``broker`` is the client of the state, where leases and outboxes are. ``proxy`` and ``node``: what a storm may cut
    and kill."""

    proxy = node = None
    queue_type = "classic"

    def __init__(self, server, url, ledger=None):
        """``url``: a vhost's; ``ledger``: another Redis server, for what really ran."""
        super().__init__(server)
        self.url = url
        self.broker = self.results
        self._ledger = (ledger or server).url(2)
        self.ledgers = redis.Redis.from_url(self._ledger, decode_responses=True)

    def urls(self):
        return self.url, self.server.url(1), self._ledger

    @contextmanager
    def client(self):
        """As ``Bench``."""
        with super().client() as app:
            app.conf.task_default_queue_type = self.queue_type
            yield app


class ByteProxy(Proxy):
    """A proxy for any protocol: it cuts and silences connections, and reads nothing of what passes."""

    def _requests(self, near, far, answers):
        while got := near.recv(1 << 16):
            if near not in self._silent:
                far.sendall(got)


def through(url, proxy):
    """A broker's URL that leads through a proxy."""
    head, _, vhost = url.rpartition("/")
    return f"{head.rpartition(':')[0]}:{proxy.port}/{vhost}"


def sockets_to(port):
    """Copies of this process's connections to a port of this machine, by their own ports."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as one:
                if one.getpeername()[1:] == (port,):
                    found[one.getsockname()[1]] = one.dup()
    return found


@contextmanager
def channel_to(url):
    """A channel of py-amqp to the virtual host of a URL."""
    (address,) = parse(url, {})
    with amqp.Connection(f"{address.host}:{address.port}", virtual_host=address.vhost) as connection:
        yield connection.channel()
