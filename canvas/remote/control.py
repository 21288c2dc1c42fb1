"""Remote control messages to workers (protocol.md §6)."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias

from canvas.caller_warnings import ends_in_caller
from canvas.config.config import Config
from canvas.drivers.ports.bus import Inbox
from canvas.model.ids import new_id
from canvas.producer.message_builder import MessageBuilder
from canvas.producer.purge import PurgeApp, purge
from canvas.producer.routing import Router
from canvas.remote.inspect import ControlledApp, Inspect
from canvas.remote.revocation_entries import id_entry, stamp_entries
from canvas.wire import codecs
from canvas.wire import task_message as wire

Answers: TypeAlias = list[dict[str, Any]]
"""The answers of workers, each ``{node: answer}``."""
REVOKED_FOR = 86_400.0
"""Seconds that a revocation is kept."""


class ControlApp(PurgeApp, ControlledApp, Protocol):
    """The parts of an app that remote control needs."""

    @property
    def conf(self) -> Config: ...

    @property
    def client(self) -> MessageBuilder: ...

    @property
    def router(self) -> Router: ...


def _ids(given: Any) -> list[str]:
    if isinstance(given, str):
        return [given]
    if not isinstance(given, Iterable):
        raise TypeError(f"revoke: expected the id of a task, or a list of ids; got {given!r:.100}")
    return list(given)


@ends_in_caller()
class Control:
    """``app.control``: broadcasts commands that workers of canvas and of Celery understand."""

    def __init__(self, app: ControlApp) -> None:
        self.app = app

    def revoke(
        self,
        task_id: str | list[str],
        destination: list[str] | None = None,
        terminate: bool = False,
        signal: str = "SIGTERM",
        **options: Any,
    ) -> Answers | None:
        """Tell workers not to run a task (or tasks), and with ``terminate`` to stop it where it runs.

        Canvas' workers find the revocation in the broker, for a day, however late they start; Celery's workers get it
        by broadcast only. The task is
        REVOKED as soon as a worker comes to it. One that runs already goes on, unless it is terminated.
        """
        self.keep_revoked(_ids(task_id))
        arguments = {"task_id": task_id, "terminate": terminate, "signal": signal}
        return self.broadcast("revoke", arguments, destination, **options)

    def revoke_by_stamped_headers(
        self,
        headers: dict[str, Any],
        destination: list[str] | None = None,
        terminate: bool = False,
        signal: str = "SIGTERM",
        **options: Any,
    ) -> Answers | None:
        """``revoke`` for every task that has one of the stamps; a stamp's value may be a list of values."""
        self.keep_revoked_stamps(headers)
        arguments = {"headers": headers, "terminate": terminate, "signal": signal}
        return self.broadcast("revoke_by_stamped_headers", arguments, destination, **options)

    def keep_revoked(self, ids: list[str]) -> None:
        """Write revocations where canvas' workers look for them."""
        self.app.driver.coordination.revoke([id_entry(one) for one in ids], REVOKED_FOR)

    def keep_revoked_stamps(self, headers: dict[str, Any]) -> None:
        """The same for stamps."""
        self.app.driver.coordination.revoke(stamp_entries(headers), REVOKED_FOR)

    def terminate(
        self,
        task_id: str | list[str],
        destination: list[str] | None = None,
        signal: str = "SIGTERM",
        **options: Any,
    ) -> Answers | None:
        """``revoke(task_id, terminate=True)``."""
        return self.revoke(task_id, destination, True, signal, **options)

    def broadcast(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        destination: list[str] | None = None,
        connection: Any = None,
        reply: bool = False,
        timeout: float = 1.0,
        limit: int | None = None,
        callback: Callable[[dict[str, Any]], Any] | None = None,
        channel: Any = None,
        pattern: str | None = None,
        matcher: str | None = None,
        **more: Any,
    ) -> Answers | None:
        """Send a command to all workers, or to those in ``destination``, or whose names match ``pattern`` (a glob, or
        with ``matcher="pcre"`` a regular expression). ``more`` are further arguments of the command.

        With ``reply``: what they answer within ``timeout`` seconds, ``limit`` of them at most, each
        ``{node: answer}``; ``callback`` is called with each as it comes. ``connection`` and ``channel`` are Celery's,
        and not needed here. Raises ValueError for a ``destination`` that is not a list or a tuple.
        """
        if not isinstance(destination, list | tuple | None):
            raise ValueError(f"destination must be a list/tuple not {type(destination)}")
        app, ticket = self.app, new_id()
        body: dict[str, Any] = {
            "method": command,
            "arguments": {**(arguments or {}), **more},
            "destination": destination,
            "pattern": pattern,
            "matcher": matcher,
            "ticket": ticket,
        }
        exchange = app.conf.control_exchange
        if not reply:
            self._send(f"{exchange}.pidbox", body)
            return None
        replies, mine = f"reply.{exchange}.pidbox", new_id()
        body["reply_to"] = {"exchange": replies, "routing_key": mine}
        with app.driver.bus.replies(replies, mine) as inbox:
            self._send(f"{exchange}.pidbox", body)
            most = limit or (len(destination) if destination else None)
            return self._collect(inbox, ticket, timeout, most, callback)

    @property
    def _serializer(self) -> str:
        return codecs.of_control(self.app.conf.task_serializer)

    def _send(self, exchange: str, body: Mapping[str, Any]) -> None:
        """Broadcast a request (protocol.md §6)."""
        message = wire.encode_plain(
            body, {"clock": 0, "expires": None}, delivery_mode=2, signer=self.app.signer, serializer=self._serializer
        )
        driver = self.app.driver
        driver.bus.broadcast(exchange, driver.broker.codec.encode(message, exchange, ""))

    def _collect(
        self, inbox: Inbox, ticket: str, timeout: float, limit: int | None, callback: Callable[[Any], Any] | None
    ) -> Answers:
        answers: Answers = []
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0 and (limit is None or len(answers) < limit):
            payload = inbox.next(left)
            if payload is None:
                break
            message = self.app.driver.broker.codec.decode(payload)
            max_bytes = self.app.conf.task_message_max_bytes
            body = wire.decode_plain(message, max_bytes=max_bytes, serializer=self._serializer)
            if message.headers.get("ticket") == ticket:
                answers.append(body)
                if callback is not None:
                    callback(body)
        return answers

    def ping(self, destination: list[str] | None = None, timeout: float = 1.0, **options: Any) -> Answers:
        """Which workers are there: ``[{node: {"ok": "pong"}}]``."""
        return self.broadcast("ping", None, destination, reply=True, timeout=timeout, **options) or []

    def inspect(
        self,
        destination: list[str] | str | None = None,
        timeout: float = 1.0,
        callback: Callable[[dict[str, Any]], Any] | None = None,
        connection: Any = None,
        app: ControlledApp | None = None,
        limit: int | None = None,
        pattern: str | None = None,
        matcher: str | None = None,
    ) -> "Inspect":
        """``app.control.inspect().active()``; of another ``app``'s workers where one is given."""
        return Inspect(destination, timeout, callback, connection, app or self.app, limit, pattern, matcher)

    def time_limit(
        self,
        task_name: str,
        soft: float | None = None,
        hard: float | None = None,
        destination: list[str] | None = None,
        **options: Any,
    ) -> Answers | None:
        """Change a task's time limits, seconds, in running workers."""
        return self.broadcast(
            "time_limit", {"task_name": task_name, "hard": hard, "soft": soft}, destination=destination, **options
        )

    def rate_limit(
        self, task_name: str, rate_limit: Any, destination: list[str] | None = None, **options: Any
    ) -> Answers | None:
        """Change a task's rate limit in running workers."""
        return self.broadcast(
            "rate_limit", {"task_name": task_name, "rate_limit": rate_limit}, destination=destination, **options
        )

    def add_consumer(
        self, queue: str, exchange: str | None = None, exchange_type: str = "direct", routing_key: str | None = None,
        options: Mapping[str, Any] | None = None, destination: list[str] | None = None, **more: Any,
    ) -> Answers | None:  # fmt: skip
        """Let workers take from one queue more; ``options`` are further fields of the command."""
        about = {
            **(options or {}),
            "queue": queue,
            "exchange": exchange,
            "exchange_type": exchange_type,
            "routing_key": routing_key,
        }
        return self.broadcast("add_consumer", about, destination=destination, **more)

    def cancel_consumer(self, queue: str, destination: list[str] | None = None, **options: Any) -> Answers | None:
        """Let workers take from this queue no more."""
        return self.broadcast("cancel_consumer", {"queue": queue}, destination=destination, **options)

    def pool_grow(self, n: int = 1, destination: list[str] | None = None, **options: Any) -> Answers | None:
        """``n`` slots more in each worker's pool."""
        return self.broadcast("pool_grow", {"n": n}, destination=destination, **options)

    def pool_shrink(self, n: int = 1, destination: list[str] | None = None, **options: Any) -> Answers | None:
        """``n`` slots fewer."""
        return self.broadcast("pool_shrink", {"n": n}, destination=destination, **options)

    def pool_restart(
        self,
        modules: list[str] | None = None,
        reload: bool = False,
        reloader: Any = None,
        destination: list[str] | None = None,
        **options: Any,
    ) -> Answers | None:
        """Replace the processes of prefork pools, where ``worker_pool_restarts`` allows it; with ``reload`` load these
        modules, which the workers have loaded already, again before."""
        return self.broadcast(
            "pool_restart",
            {"modules": modules, "reload": reload, "reloader": reloader},
            destination=destination,
            **options,
        )

    def autoscale(self, max: int, min: int, destination: list[str] | None = None, **options: Any) -> Answers | None:
        """Other bounds for pools that scale themselves."""
        return self.broadcast("autoscale", {"max": max, "min": min}, destination=destination, **options)

    def enable_events(self, destination: list[str] | None = None, **options: Any) -> Answers | None:
        """Let workers send task events."""
        return self.broadcast("enable_events", None, destination=destination, **options)

    def disable_events(self, destination: list[str] | None = None, **options: Any) -> Answers | None:
        """Let workers send none."""
        return self.broadcast("disable_events", None, destination=destination, **options)

    def heartbeat(self, destination: list[str] | None = None, **options: Any) -> Answers | None:
        """Let workers send a heartbeat now."""
        return self.broadcast("heartbeat", None, destination=destination, **options)

    def shutdown(self, destination: list[str] | None = None, **options: Any) -> None:
        """Stop workers, warmly."""
        self.broadcast("shutdown", {}, destination, **options)

    def purge(self, connection: Any = None) -> int:
        """Delete the waiting messages of the app's queues. Returns how many there were."""
        return sum(purge(self.app, queue.name) for queue in self.app.router.consumed())

    discard_all = purge
