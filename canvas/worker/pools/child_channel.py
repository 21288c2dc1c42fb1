"""Commands from a parent to its child processes, and the answers: numbered lines of JSON over a pair of sockets each.

The statistics that a child sends when it ends, without a command, have number 0.
"""

import json
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from canvas.worker.pools.child_commands import ChildCommand, from_wire, to_wire

_CHUNK = 65_536
_LOOK_EVERY = 0.02
"""Seconds after which a thread that waits for an answer checks whether another thread has read it."""


class ChildEnd:
    """The child's end: it answers."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._writing = threading.Lock()

    def serve(self, answer: Callable[[ChildCommand], dict[str, Any]]) -> None:
        """Answer on a thread of its own, until the parent is gone."""
        threading.Thread(target=self._answer, args=(answer,), name="canvas-child-channel", daemon=True).start()

    def _answer(self, answer: Callable[[ChildCommand], dict[str, Any]]) -> None:
        with self._socket.makefile("rw", encoding="utf-8") as stream:
            for line in stream:
                number, question = json.loads(line)
                try:
                    found = answer(from_wire(question))
                except Exception as exc:  # noqa: BLE001 - the parent gets the error, and goes on
                    found = {"error": repr(exc)}
                with self._writing:
                    stream.write(json.dumps([number, found], default=repr) + "\n")
                    stream.flush()

    def send_final_stats(self, stats: dict[str, Any]) -> None:
        """The child's last message to its parent; nothing when that is gone."""
        with suppress(OSError), self._writing:
            self._socket.sendall(json.dumps([0, stats]).encode() + b"\n")

    def close(self) -> None:
        self._socket.close()


class ChildChannel:
    """The parent's end: it asks. Made before the fork, with the child's end."""

    def __init__(self) -> None:
        self._socket, end = socket.socketpair()
        self._child_end = ChildEnd(end)
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._read = b""
        self._number = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._late: set[int] = set()
        """Numbers of questions whose answers are no longer waited for."""
        self._gone = False
        self._final_stats: dict[str, Any] = {}

    def close_child_end(self) -> None:
        """In the parent, after the fork: close the child's end."""
        self._child_end.close()
        # With a timeout, recv() waits for it whatever its flags say.
        self._socket.setblocking(False)

    def keep_child_end(self) -> ChildEnd:
        """In the child, after the fork: its own end. This one is closed there."""
        self._socket.close()
        return self._child_end

    @property
    def silent(self) -> bool:
        """Whether the child has left a question unanswered, and has not answered it since."""
        self._receive()
        return bool(self._late)

    def fileno(self) -> int:
        """The socket, for a selector; -1 once it is closed."""
        return self._socket.fileno()

    def send(self, command: ChildCommand, within: float) -> int | None:
        """Send a command. Returns its number, or ``None`` when the child is gone or reads nothing for ``within``
        seconds."""
        with self._writing:
            self._number += 1
            try:
                self._write(json.dumps([self._number, to_wire(command)]).encode() + b"\n", within)
            except OSError:
                self._gone = True
                return None
            return self._number

    def _write(self, line: bytes, within: float) -> None:
        """Raises OSError where the child does not read all of it in time."""
        deadline, rest = time.monotonic() + within, memoryview(line)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._socket, select.POLLOUT)
                left = deadline - time.monotonic()
                if left <= 0 or not poll.poll(left * 1000):
                    raise TimeoutError("the child does not read") from None

    def answered(self, number: int) -> bool:
        """Whether the answer is there, or the child is gone."""
        self._receive()
        return number in self._answers or self._gone

    def take(self, number: int) -> dict[str, Any] | None:
        """The answer to a question; ``None`` where there is none yet. An answer that arrives later is dropped."""
        with self._lock:
            if number in self._answers:
                return self._answers.pop(number)
            if not self._gone:
                self._late.add(number)
            return None

    def final_stats(self) -> dict[str, Any]:
        """When the child has ended: its last numbers, empty where it sent none."""
        self._receive()
        return self._final_stats

    def _receive(self) -> None:
        """Read the answers that have come."""
        with self._lock:
            while not self._gone:
                try:
                    chunk = self._socket.recv(_CHUNK, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    return
                except OSError:
                    chunk = b""
                self._gone = not chunk
                self._read += chunk
                *lines, self._read = self._read.split(b"\n")
                for line in lines:
                    self._take_answer(*json.loads(line))

    def _take_answer(self, number: int, found: dict[str, Any]) -> None:
        if number == 0:
            self._final_stats = found
        elif number in self._late:
            self._late.discard(number)
        else:
            self._answers[number] = found

    def close(self) -> None:
        """In the parent when the child is gone, and in each of its siblings."""
        self._socket.close()
        self._child_end.close()


def ask_all(
    channels: Mapping[int, ChildChannel], command: ChildCommand, within: float
) -> dict[int, dict[str, Any] | None]:
    """Ask children at once. Returns each one's answer by its key, ``None`` of those that
    give none in ``within`` seconds."""
    deadline = time.monotonic() + within
    asked = {key: channel.send(command, within) for key, channel in channels.items()}
    missing = {key: number for key, number in asked.items() if number is not None}
    while missing:
        missing = {key: number for key, number in missing.items() if not channels[key].answered(number)}
        left = deadline - time.monotonic()
        if not missing or left <= 0:
            break
        _wait([channels[key] for key in missing], min(left, _LOOK_EVERY))
    return {key: None if number is None else channels[key].take(number) for key, number in asked.items()}


def _wait(channels: list[ChildChannel], seconds: float) -> None:
    poll = select.poll()
    for number in (channel.fileno() for channel in channels):
        if number >= 0:
            poll.register(number, select.POLLIN)
    poll.poll(seconds * 1000)
