"""Questions from a parent to its child process, over a pair of sockets: one JSON line each way, numbered; and what the
child says unasked as it ends, under number 0."""

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_ANSWER_WITHIN = 3.0
_CHUNK = 65_536


class Hotline:
    """Made before the fork; afterwards the parent asks and the child answers."""

    def __init__(self) -> None:
        self._parent, self._child = socket.socketpair()
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._read = b""
        self._number = 0
        self._farewell: dict[str, Any] = {}

    def serve(self, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """In the child: answer on a thread of its own, until the parent is gone."""
        self._parent.close()
        threading.Thread(target=self._answer, args=(answer,), name="canvas-hotline", daemon=True).start()

    def _answer(self, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        with self._child.makefile("rw", encoding="utf-8") as stream:
            for line in stream:
                number, question = json.loads(line)
                try:
                    found = answer(question)
                except Exception as exc:  # noqa: BLE001 - the parent is told, and goes on
                    found = {"error": repr(exc)}
                with self._writing:
                    stream.write(json.dumps([number, found], default=repr) + "\n")
                    stream.flush()

    def part(self, words: dict[str, Any]) -> None:
        """In the child, as the last thing: what its parent is to know; nothing when that is gone."""
        with suppress(OSError), self._writing:
            self._child.sendall(json.dumps([0, words]).encode() + b"\n")

    def ready_to_ask(self) -> None:
        """In the parent, after the fork."""
        self._child.close()

    def ask(self, question: dict[str, Any], within: float = _ANSWER_WITHIN) -> dict[str, Any] | None:
        """In the parent: the child's answer; ``None`` when it gives none within so many seconds, or is gone."""
        with self._lock:
            self._number += 1
            deadline = time.monotonic() + within
            try:
                self._parent.settimeout(within)
                self._parent.sendall(json.dumps([self._number, question]).encode() + b"\n")
                while True:
                    # What answers an older question came too late for it.
                    number, found = self._next(deadline)
                    if number == self._number:
                        return found
            except OSError:
                return None

    def farewell(self) -> dict[str, Any]:
        """In the parent, when the child has ended: its last words, empty where it had none."""
        with self._lock, suppress(OSError, ValueError):
            while not self._farewell:
                self._next(time.monotonic())
        return self._farewell

    def _next(self, deadline: float) -> tuple[int, dict[str, Any]]:
        """Raises OSError when nothing comes in time."""
        number, found = json.loads(self._line(deadline))
        if number == 0:
            self._farewell = found
        return number, found

    def _line(self, deadline: float) -> bytes:
        """Raises OSError when none comes in time."""
        while b"\n" not in self._read:
            self._parent.settimeout(max(deadline - time.monotonic(), 0.001))
            chunk = self._parent.recv(_CHUNK)
            if not chunk:
                raise ConnectionResetError("the child is gone")
            self._read += chunk
        line, _, self._read = self._read.partition(b"\n")
        return line

    def close(self) -> None:
        """In the parent when the child is gone, and in each of its siblings."""
        self._parent.close()
        self._child.close()
