"""One connection for blocking commands, which a selector can watch."""

from typing import Any


class RawConnection:
    """One raw connection with at most one command outstanding."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._connection = pool.get_connection()

    def send(self, *words: Any) -> None:
        """Send a command without waiting for its reply."""
        self._connection.send_command(*words)

    def fileno(self) -> int:
        """The socket, for a selector."""
        return self._connection._sock.fileno()  # type: ignore[no-any-return]

    def receive(self) -> Any:
        """The reply."""
        return self._connection.read_response()

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()
        self._pool.release(self._connection)
