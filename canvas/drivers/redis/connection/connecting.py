"""Opens the connections of one process to one server, and knows those that are open."""

import threading
from collections.abc import Callable
from functools import partial
from weakref import ref

from canvas.drivers.redis.connection.resp import CONNECTIONS, Connection, SocketConnection
from canvas.drivers.redis.url import Address


class Connector:
    """Opens connections to an address: of canvas' own, of redis-py for TLS and for sentinels."""

    def __init__(self, address: Address) -> None:
        self._address = address
        # Weakly: a call that an exception of a signal's handler breaks off may lose its connection, which closes it.
        self._open: dict[int, ref[Connection]] = {}
        self._most = int(address.options.get("max_connections") or CONNECTIONS)
        self._make: Callable[[], Connection] | None = None
        self._lock = threading.Lock()

    def connection(self) -> Connection:
        """A new connection. Raises OSError, Refusal."""
        if len(self._open) >= self._most:
            raise ConnectionError(f"too many connections: max_connections is {self._most}")
        make = self._make
        if make is None:
            # Only one may be made: redis-py's client closes all of its connections when it is deleted.
            with self._lock:
                make = self._make = self._make or self._maker()
        made = make()
        self._open[id(made)] = ref(made, partial(self._open.pop, id(made)))
        return made

    def _maker(self) -> Callable[[], Connection]:
        address = self._address
        if address.ssl or address.sentinels:
            # Imported late: most servers need neither, and the library takes as long to load as all of canvas.
            from canvas.drivers.redis.connection.redis_py import connections_to

            return connections_to(address)
        return lambda: SocketConnection(address)

    def drop(self, connection: Connection) -> None:
        """Close a connection."""
        self._open.pop(id(connection), None)
        connection.close()

    def close_inherited(self) -> None:
        """In a forked process: close its copies of the parent's sockets, without a word to the server."""
        for found in list(self._open.values()):
            if (connection := found()) is not None:
                connection.close_inherited()
