"""Sockets of redis-py's connections that cannot be used any more: after a fork, or when their event loop is closed.

redis-py and asyncio cannot close these without a side effect: they would end the connection of the parent process, or
call the closed event loop.
"""

from collections.abc import Iterable, Iterator
from typing import Any


def close_sockets(clients: Iterable[Any]) -> None:
    """Close this process's sockets of redis-py's clients, without a word to the server and without the clients' help.

    The clients must not be used afterwards.
    """
    for client in clients:
        for connection in _connections(client.connection_pool):
            found = socket_of(connection)
            if found is not None:
                found.close()


def _connections(pool: Any) -> Iterator[Any]:
    yield from tuple(pool._available_connections)
    yield from tuple(pool._in_use_connections)


def socket_of(connection: Any) -> Any:
    """The socket of a connection of either kind; ``None`` where it is not open, or the event loop closed it itself."""
    writer = getattr(connection, "_writer", None)
    if writer is None:
        return getattr(connection, "_sock", None)
    # asyncio hands out a wrapper without close().
    return getattr(writer.get_extra_info("socket"), "_sock", None)
