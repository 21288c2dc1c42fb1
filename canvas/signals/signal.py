"""A signal: receivers that are called at an event, by Celery's interface (``connect``, ``disconnect``, ``send``)."""

import inspect
import itertools
import logging
import time
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from canvas.telemetry import ENDING, attach

_log = logging.getLogger("celery.utils.dispatch.signal")
_HAS_KEYWORDS = inspect.CO_VARKEYWORDS
_LONGEST_PAUSE = 30
Receiver = Callable[..., Any]
Facts = Mapping[str, Any]
Sending = tuple[Any, dict[str, Any]]
"""A signal's sender and its arguments."""

_ADDED_BY_KOMBU = ("delivery_mode", "delivery_info")


class Signal:
    """The receivers of one kind of event."""

    def __init__(
        self, name: str, events: str = "", translate: Callable[[Facts], Sending | None] = lambda _: None
    ) -> None:
        """``events``: the telemetry events at which the signal is sent, separated by blanks; ``translate`` makes the
        sender and the arguments from an event's facts, or ``None`` if the signal is not sent. A signal without
        events is sent by its owner's ``send``."""
        self.name = name
        self._events = events.split()
        self._translate = translate
        self._receivers: dict[Any, tuple[Callable[[], Receiver | None], Any]] = {}
        self._detach: Callable[[], None] | None = None

    def connect(self, *args: Any, **options: Any) -> Any:
        """Call a receiver at each such event. Also a decorator, with or without arguments.

        The receiver is a function that takes any keyword argument. ``sender``: the sender whose events it is called at
        (default: any). ``weak``: the receiver ends with the last other reference to it (default: True).
        ``dispatch_uid``: of receivers with one such id, and one sender, only the first is connected. ``retry``: a
        receiver that raises is called again until it does not, after 2, 4, 6 … up to 30 seconds, and is kept whatever
        ``weak`` says. Raises ValueError for a receiver that does not take keyword arguments.
        """
        if args and callable(args[0]):
            return self._connect(*args, **options)
        return lambda receiver: self._connect(receiver, *args, **options)

    def _connect(
        self, receiver: Receiver, sender: Any = None, weak: bool = True, dispatch_uid: Any = None, retry: bool = False
    ) -> Receiver:
        if not _takes_keywords(receiver):
            raise ValueError(f"{self.name}: expected a receiver that takes **kwargs; got {receiver!r}")
        key = _key(receiver, sender, dispatch_uid)
        known = self._receivers.get(key)
        if known is None or known[0]() is None:
            called = partial(_retried, receiver) if retry else receiver
            self._receivers[key] = (_reference(called, weak and not retry), sender)
        if self._detach is None and self._events:
            self._detach = attach(self._on_event, *self._events)
        return receiver

    def disconnect(
        self, receiver: Receiver | None = None, sender: Any = None, weak: Any = None, dispatch_uid: Any = None
    ) -> bool:  # fmt: skip
        """Stop calling a receiver. Returns whether it was connected. ``weak`` has no effect."""
        found = self._receivers.pop(_key(receiver, sender, dispatch_uid), None) is not None
        self._detach_if_unheard()
        return found

    @property
    def receivers(self) -> list[Receiver]:
        """The receivers that are connected and still alive."""
        return [receiver for find, _ in self._receivers.values() if (receiver := find()) is not None]

    def has_listeners(self, sender: Any = None) -> bool:
        """Whether a receiver is called for signals of ``sender``."""
        return any(find() is not None and only in (None, sender) for find, only in list(self._receivers.values()))

    def send(self, sender: Any, **arguments: Any) -> list[tuple[Receiver, Any]]:
        """Call the receivers; each with the value that it returned or the exception that it raised, which is logged."""
        answers = []
        for key, (find, only) in list(self._receivers.items()):
            receiver = find()
            if receiver is None:
                self._receivers.pop(key, None)
                self._detach_if_unheard()
            elif only is None or only is sender or only == sender:
                answers.append((receiver, self._answer(receiver, {"signal": self, "sender": sender, **arguments})))
        return answers

    send_robust = send

    def _detach_if_unheard(self) -> None:
        """Without a listener an event costs nothing: its facts are not put together."""
        if not self._receivers and self._detach is not None:
            self._detach()
            self._detach = None

    def _answer(self, receiver: Receiver, arguments: dict[str, Any]) -> Any:
        try:
            return receiver(**arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as exc:  # a receiver's fault is neither the sender's nor the others'
            if isinstance(exc, SystemExit) and not ENDING.isdisjoint(self._events):
                raise
            _log.exception("Signal handler %r of %s raised", receiver, self.name)
            return exc

    def _on_event(self, **facts: Any) -> None:
        sending = self._translate(facts)
        if sending is not None:
            self.send(sending[0], **sending[1])

    def __repr__(self) -> str:
        return f"<Signal: {self.name}>"


class PublishingSignal(Signal):
    """The signal of a message that is about to be sent: receivers see its properties without those that kombu adds
    when it sends."""

    def _on_event(self, **facts: Any) -> None:
        properties: dict[str, Any] = facts["message"].properties
        sending = self._translate(facts)
        hidden = {name: properties.pop(name) for name in _ADDED_BY_KOMBU if name in properties}
        try:
            if sending is not None:
                self.send(sending[0], **sending[1])
        finally:
            properties.update({**hidden, **{name: properties[name] for name in hidden if name in properties}})


def _takes_keywords(receiver: Any) -> bool:
    code = getattr(receiver, "__code__", None)
    if code is not None:
        return bool(code.co_flags & _HAS_KEYWORDS)
    kinds = [parameter.kind for parameter in inspect.signature(receiver).parameters.values()]
    return inspect.Parameter.VAR_KEYWORD in kinds


def _retried(receiver: Receiver, **arguments: Any) -> Any:
    for tries in itertools.count(1):
        try:
            return receiver(**arguments)
        except Exception:  # noqa: BLE001 - a receiver may raise anything
            pause = min(2 * tries, _LONGEST_PAUSE)
            _log.exception("Could not process signal receiver %r. Retrying in %s seconds...", receiver, pause)
            time.sleep(pause)
    return None


def _key(receiver: Any, sender: Any, uid: Any) -> Any:
    return (uid or _identity(receiver), id(sender) if sender is not None else None)


def _identity(receiver: Any) -> Any:
    return (id(getattr(receiver, "__self__", None)), id(getattr(receiver, "__func__", receiver)))


def _reference(receiver: Receiver, weak: bool) -> Callable[[], Receiver | None]:
    if not weak:
        return lambda: receiver
    return weakref.WeakMethod(receiver) if hasattr(receiver, "__self__") else weakref.ref(receiver)
