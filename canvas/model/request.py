"""The call of a running task: ``self.request``."""

from collections.abc import Mapping, Sequence
from typing import Any

from canvas.model.message import Message

_DEFAULTS: dict[str, Any] = {
    "_protected": 0,
    "args": None,
    "called_directly": True,
    "callbacks": None,
    "chain": None,
    "chord": None,
    "canvas_run": None,
    "correlation_id": None,
    "delivery_info": None,
    "errbacks": None,
    "entered": False,
    "eta": None,
    "expires": None,
    "group": None,
    "group_index": None,
    "headers": None,
    "hostname": None,
    "id": None,
    "ignore_result": False,
    "is_eager": False,
    "kwargs": None,
    "logfile": None,
    "loglevel": None,
    "origin": None,
    "parent_id": None,
    "properties": None,
    "retries": 0,
    "retry_limit": None,
    "reply_to": None,
    "replaced_task_nesting": 0,
    "root_id": None,
    "runs": None,
    "shadow": None,
    "task": None,
    "taskset": None,
    "timelimit": None,
    "utc": None,
    "stamped_headers": None,
    "stamps": None,
}
_KNOWN = frozenset({*_DEFAULTS, "lang", "argsrepr", "kwargsrepr", "compression", "redelivered", "canvas_delivery_count",
                    "canvas_unregistered_retries", "canvas_rate_reserved", "canvas_received", "canvas_worker_lost",
                    "canvas_signature"})  # fmt: skip
_OWN = frozenset(
    {"_message", "children", "additions", "retries_sent", "runs", "entered", "ready_chords", "retry_limit"}
)
"""Fields of the library's own, which the text of a request leaves out."""
_EMBED = frozenset({"callbacks", "errbacks", "chain", "chord"})


class _Fields(type):
    """Gives the class the names of its instances' fields, which mocks with ``spec=`` look for."""

    def __dir__(cls) -> list[str]:
        return sorted({*super().__dir__(), *_DEFAULTS, *_LIMITS, "children"})


class _Stored:
    """Has the fields that were read or assigned. ``Request.__dict__`` reads the others first."""


_stored: Any = _Stored.__dict__["__dict__"].__get__


class Request(_Stored, metaclass=_Fields):
    """The fields of Celery's ``Context``; further message headers are attributes too.

    Fields are read from the message when asked for, so that a request costs nothing that is not looked at. ``vars()``
    reads all that the message has. Assigning a field changes this request only.
    """

    runs: Any
    """The task object, if a worker or ``apply()`` runs it."""
    retry_limit: int | None
    """The ``max_retries`` that a ``retry`` of this run was given."""
    called_directly: bool
    """Whether the task's function was called, instead of a message sent."""
    id: Any
    root_id: Any
    hostname: Any
    """The node that runs the task."""
    ready_chords: Sequence[Any] = ()
    """Chords whose bodies are sent with the end of this task: ``celery.chord_unlock`` has found their headers ended."""
    entered: bool
    """Whether the worker's own call of the task has begun: further calls come from the task itself."""

    def __init__(self, message: Message | Mapping[str, Any] | None = None, **fields: Any) -> None:
        """The request of a message, or one with these fields."""
        found: Any = message
        if found.__class__ is dict:
            found, fields = None, {**found, **fields}
        self._message = found
        self.children: list[Any] = []
        """Results of the tasks that this one sent."""
        self.additions: list[Any] = []
        """Signatures that this task adds to its chord."""
        self.retries_sent: list[Any] = []
        """The Retry of each ``retry(throw=False)``: it is sent whatever the task's outcome."""
        if found is not None:
            self.called_directly = False
            self.id = found.id
            self.root_id = found.headers.get("root_id") or found.id
        if fields:
            _stored(self).update(fields)

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        stored: dict[str, Any] = _stored(self)
        message = stored.get("_message")
        if message is not None:
            for name in {*message.headers, *message.embed, *_DERIVED} - stored.keys():
                stored[name] = self._read(name)
        return stored

    def __getattr__(self, name: str) -> Any:
        value = self._read(name)
        setattr(self, name, value)
        return value

    def _read(self, name: str) -> Any:
        message = _stored(self).get("_message")
        if message is None:
            if name in _DEFAULTS:
                return _DEFAULTS[name]
        elif name in _EMBED:
            value = message.embed.get(name)
            if isinstance(value, Sequence) and not isinstance(value, list):
                # The chain as it was received; the task may change the chain that is sent on.
                value = message.embed[name] = list(value)
            return value
        elif name in _DERIVED:
            return _DERIVED[name](message)
        elif name in message.headers:
            return message.headers[name]
        elif name in _DEFAULTS:
            return _DEFAULTS[name]
        if name in _LIMITS:
            return _limit_of(self.timelimit, _LIMITS.index(name))
        raise AttributeError(f"the request has no field or header {name!r}")

    @property
    def came_as_message(self) -> bool:
        """Whether the call came as a message, so that its outcome is settled."""
        return self._message is not None

    @property
    def _children(self) -> list[Any]:
        return self.children

    def get(self, name: str, default: Any = None) -> Any:
        """A field or header, or ``default``."""
        return getattr(self, name, default)

    def with_fields(self, **fields: Any) -> "Request":
        """The same, with these fields, for a call inside the call."""
        copied = Request()
        _stored(copied).update(_stored(self), **fields)
        return copied

    def update(self, *args: Any, **fields: Any) -> None:
        """Assign fields. ``timelimit``, a pair of seconds, also gives ``time_limit`` and ``soft_time_limit``."""
        given = dict(*args, **fields)
        if "timelimit" in given:
            for name in _LIMITS:
                _stored(self).pop(name, None)
        _stored(self).update(given)

    def as_execution_options(self) -> dict[str, Any]:
        """The options of ``apply_async`` that give a call the place of this one in its workflow, and its stamps; each
        without a value is ``None``. The queue is not among them."""
        return {
            "task_id": self.id,
            "root_id": self.root_id,
            "parent_id": self.parent_id,
            "group_id": self.group,
            "group_index": self.group_index,
            "shadow": self.shadow,
            "chord": self.chord,
            "chain": self.chain,
            "link": self.callbacks,
            "link_error": self.errbacks,
            "expires": self.expires,
            "soft_time_limit": self.soft_time_limit,
            "time_limit": self.time_limit,
            "headers": _sent_headers(self.headers),
            "retries": self.retries,
            "reply_to": self.reply_to,
            "replaced_task_nesting": self.replaced_task_nesting,
            "origin": self.origin,
            **_stamp_options(self),
        }

    def clear(self) -> None:
        """Forget every field."""
        _stored(self).clear()
        self.__init__()  # type: ignore[misc]

    def __repr__(self) -> str:
        fields = {name: value for name, value in self.__dict__.items() if name not in _OWN}
        return f"<Context: {fields!r}>"


_LIMITS = ("time_limit", "soft_time_limit")


def _limit_of(limits: Any, index: int) -> Any:
    return limits[index] if isinstance(limits, list | tuple) and len(limits) == 2 else None


def _custom(message: Message) -> Any:
    """The headers that are neither Celery's nor ours; tracers put theirs in one that is called ``headers``."""
    nested = message.headers.get("headers")
    if nested is not None:
        return nested
    return {key: value for key, value in message.headers.items() if key not in _KNOWN} or None


def _delivery_info(message: Message) -> dict[str, Any]:
    info = message.properties.get("delivery_info") or {}
    return {
        "exchange": info.get("exchange"),
        "routing_key": info.get("routing_key"),
        "priority": message.properties.get("priority"),
        "redelivered": bool(message.headers.get("redelivered")),
    }


_DERIVED: dict[str, Any] = {
    "task": lambda m: m.task,
    "args": lambda m: m.args,
    "kwargs": lambda m: m.kwargs,
    "retries": lambda m: m.headers.get("retries") or 0,
    "headers": _custom,
    "properties": lambda m: m.properties,
    "delivery_info": _delivery_info,
    "correlation_id": lambda m: m.properties.get("correlation_id"),
    "reply_to": lambda m: m.properties.get("reply_to"),
    "time_limit": lambda m: _limit_of(m.headers.get("timelimit"), 0),
    "soft_time_limit": lambda m: _limit_of(m.headers.get("timelimit"), 1),
}


def options_again(request: Request) -> dict[str, Any]:
    """The options that send a message to the queue of this call, as the same task of the same workflow."""
    info = request.delivery_info or {}
    options = {
        **request.as_execution_options(),
        "canvas_run": request.canvas_run,
        "ignore_result": request.ignore_result,
        "priority": (request.properties or info).get("priority"),
        "queue" if not info.get("exchange") else "routing_key": info.get("routing_key"),
        "exchange": info.get("exchange") or None,
    }
    absent = {"headers", "stamped_headers"}
    return {key: value for key, value in options.items() if value is not None and (value or key not in absent)}


def _sent_headers(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """A request's own headers, without those in which RabbitMQ counts where the message has been."""
    return {name: value for name, value in (headers or {}).items() if not name.startswith(_DEATHS)}


_DEATHS = ("x-death", "x-first-death", "x-last-death")


def _stamp_options(request: Request) -> dict[str, Any]:
    names, stamps = request.stamped_headers, request.stamps
    if names is None or stamps is None:
        return {}
    return {"stamped_headers": names, **{name: stamps[name] for name in names if name in stamps}}
