"""Questions from a parent to its child process, over a pair of sockets: one JSON line each way."""

import json
import socket
import threading
from collections.abc import Callable
from typing import Any

_ANSWER_WITHIN = 3.0


class Hotline:
    """Made before the fork; afterwards the parent asks and the child answers."""

    def __init__(self) -> None:
        self._parent, self._child = socket.socketpair()
        self._lock = threading.Lock()
        self._reader: Any = None

    def serve(self, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """In the child: answer on a thread of its own, until the parent is gone."""
        self._parent.close()
        threading.Thread(target=self._answer, args=(answer,), name="canvas-hotline", daemon=True).start()

    def _answer(self, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        with self._child.makefile("rw", encoding="utf-8") as stream:
            for line in stream:
                try:
                    found = answer(json.loads(line))
                except Exception as exc:  # noqa: BLE001 - the parent is told, and goes on
                    found = {"error": repr(exc)}
                stream.write(json.dumps(found, default=repr) + "\n")
                stream.flush()

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """In the parent: the child's answer; empty when it gives none in time."""
        with self._lock:
            if self._reader is None:
                self._child.close()
                self._parent.settimeout(_ANSWER_WITHIN)
                self._reader = self._parent.makefile("rb")
            try:
                self._parent.sendall(json.dumps(question).encode() + b"\n")
                line = self._reader.readline()
            except OSError:
                return {}
        return json.loads(line) if line.endswith(b"\n") else {}

    def close(self) -> None:
        """In the parent: the child is gone."""
        self._parent.close()
