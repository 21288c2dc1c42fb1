"""The base of result backends that users write: ``celery.backends.base.BaseBackend``.

A class derived from it keeps records in its own way, by the methods that Celery calls: ``_store_result``,
``_get_task_meta_for``, ``_forget``, ``_save_group``, ``_restore_group`` and ``_delete_group``.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from canvas.caller_warnings import warn_caller
from canvas.model import states
from canvas.result.backend import Backend
from canvas.result.backend_classes.adapter import StoreOfBackend
from canvas.result.backend_classes.target import BackendApp
from canvas.result.celery_backend import RETRY_POLICY, CeleryBackend
from canvas.wire import codecs

_NOT_CALLED = (
    "apply_chord",
    "on_chord_part_return",
    "set_chord_size",
    "fallback_chord_unlock",
    "chord_error_from_stack",
)
"""Methods by which Celery's backends count chords."""


class Kind(type):
    """The class of these classes. ``isinstance`` says what any result backend keeps records in."""

    def __instancecheck__(cls, one: Any) -> bool:
        if type.__instancecheck__(cls, one):
            return True
        test = cls.__dict__.get("is_kind_of")
        return test is not None and isinstance(one, Backend) and bool(test(one))


class BaseBackend(CeleryBackend, metaclass=Kind):
    """A result backend that a program writes.

    Its methods are called in one thread at a time, unless ``result_backend_thread_safe`` is on. Chords are ended by the
    task ``celery.chord_unlock``, which reads the records of their headers: no method of the class counts parts.

    A class derived from it defines the methods that raise NotImplementedError here. It may call the others, or replace
    them.
    """

    is_kind_of: Callable[[Backend], bool] = staticmethod(lambda one: True)
    retry_policy = RETRY_POLICY
    supports_native_join = False
    supports_autoexpire: Any = False
    url: Any = None
    """The URL that the setting gives after the class."""
    client: Any = None
    expires: Any = None

    def __init__(
        self, app: BackendApp, serializer: str | None = None, max_cached_results: int | None = None, accept: Any = None,
        expires: Any = None, expires_type: Any = None, url: str | None = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        """Parameters as in Celery. Nothing is cached; ``max_cached_results`` has no effect. ``expires``: seconds or a
        timedelta; ``result_expires`` by default."""
        store = StoreOfBackend(self)
        super().__init__(store, None, app.conf, app)
        self.store = store
        self.app: BackendApp = app
        self.url = url
        self.serializer = serializer or self.serializer
        codec = codecs.named(self.serializer)
        self.content_type, self.content_encoding = codec.content_type, codec.content_encoding
        if accept is not None:
            self.accept = codecs.accepted(accept)
        self.expires = self.prepare_expires(expires, expires_type)
        self.always_retry = bool(app.conf.result_backend_always_retry)
        found = [name for name in _NOT_CALLED if _is_own(type(self), name)]
        if getattr(self, "implements_incr", False):
            found.append("incr")
        if found:
            warn_caller(
                f"{type(self).__name__} is a result backend whose {', '.join(found)} canvas does not call: chords are "
                "ended by celery.chord_unlock. Let no Celery worker run the same chords",
            )

    @property
    def serializer(self) -> str:
        """The one that writes records. A class may set another; records in it are accepted."""
        found: str = vars(self)["serializer"]
        return found

    @serializer.setter
    def serializer(self, name: str) -> None:
        vars(self)["serializer"] = name
        self.accept = frozenset(vars(self).get("accept", ())) | {name}

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        raise NotImplementedError("backend does not implement store_result.")

    def _get_task_meta_for(self, task_id: str, cache: bool = True) -> dict[str, Any]:
        raise NotImplementedError("backend does not implement get_task_meta.")

    def _forget(self, task_id: str) -> None:
        raise NotImplementedError("backend does not implement forget.")

    def _save_group(self, group_id: str, result: Any) -> Any:
        raise NotImplementedError("backend does not implement save_group.")

    def _restore_group(self, group_id: str) -> dict[str, Any] | None:
        raise NotImplementedError("backend does not implement restore_group.")

    def _delete_group(self, group_id: str) -> None:
        raise NotImplementedError("backend does not implement delete_group.")

    def on_chord_part_return(self, request: Any, state: str, result: Any, **kwargs: Any) -> Any:
        """Celery's hook. ``mark_as_done`` and the like call it; canvas' workers do not."""

    def metas_of(self, task_ids: list[str]) -> list[dict[str, Any]]:
        """The records of several tasks, in order."""
        return [self._get_task_meta_for(task_id) for task_id in task_ids]

    def written_fields(self, payload: bytes) -> dict[str, Any]:
        """The fields of a record that a worker has written. Raises DecodeError."""
        fields: dict[str, Any] = CeleryBackend.decode(self, payload)
        return fields

    def drop_record(self, task_id: str) -> None:
        """Delete a task's record."""
        self._forget(task_id)

    def keep_group(self, group_id: str, result: Any) -> None:
        """Keep a GroupResult."""
        self._save_group(group_id, result)

    def kept_group(self, group_id: str) -> Any:
        """The GroupResult that is kept; ``None`` where there is none."""
        found = self._restore_group(group_id)
        return found["result"] if found else None

    def drop_group(self, group_id: str) -> None:
        """Delete a GroupResult."""
        self._delete_group(group_id)

    def restore_group(self, group_id: str, cache: bool = True) -> Any:
        """The GroupResult that is kept; ``None`` where there is none. Nothing is cached."""
        return self.kept_group(group_id)

    def cleanup(self) -> None:
        """Delete expired records: nothing, unless a class derived from it does so."""

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Celery's hook. canvas tries again after each exception, except those that a mistake in the program raises."""
        return False

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        """Store a state. From a worker, the result of a failed task comes as it is written."""
        result = self.encode_result(result, state)
        self._store_result(task_id, result, state, traceback, request=request, **kwargs)
        return result

    def _marked(self, stores: bool, task_id: str, result: Any, state: str, traceback: Any, request: Any) -> Any:
        kept = super()._marked(stores, task_id, result, state, traceback, request)
        if request is not None and getattr(request, "chord", None):
            self.on_chord_part_return(request, state, result)
        return kept

    def encode_result(self, result: Any, state: str) -> Any:
        """A result as records have it: of an exception its fields, of a result handle its tuple form."""
        if state in states.EXCEPTION_STATES and isinstance(result, BaseException):
            return self.prepare_exception(result)
        return self.prepare_value(result)

    def prepare_value(self, result: Any) -> Any:
        """A value as records have it."""
        return result.as_tuple() if self.serializer != "pickle" and hasattr(result, "as_tuple") else result

    def prepare_expires(self, value: Any, type: Any = None) -> Any:
        """Seconds for a number, a timedelta or ``None``, which stands for ``result_expires``."""
        value = self._conf.result_expires if value is None else value
        seconds = value.total_seconds() if isinstance(value, timedelta) else value
        return type(seconds) if seconds is not None and type else seconds

    def prepare_persistent(self, enabled: bool | None = None) -> bool:
        """Whether records outlive the server, by ``result_persistent``."""
        return bool(self._conf.result_persistent if enabled is None else enabled)

    def _encode(self, data: Any) -> tuple[str, str, Any]:
        return codecs.encode_text(data, self.serializer)

    def encode(self, data: Any) -> Any:
        return self._encode(data)[2]

    def decode_result(self, payload: Any) -> dict[str, Any]:
        return self.meta_from_decoded(self.decode(payload))

    def meta_from_decoded(self, meta: dict[str, Any]) -> dict[str, Any]:
        """A record as it was read, with the exception of a failed task in place of its fields."""
        if meta["status"] in states.EXCEPTION_STATES and not self.store.reads_raw:
            meta["result"] = self.exception_to_python(meta["result"])
        return meta

    def current_task_children(self, request: Any = None) -> list[Any] | None:
        """The results of what a task has sent, in tuple form."""
        return [child.as_tuple() for child in getattr(request, "children", ())] if request is not None else None

    def _get_result_meta(
        self, result: Any, state: str, traceback: Any, request: Any, format_date: bool = True, encode: bool = False
    ) -> dict[str, Any]:
        done = None
        if state in states.READY_STATES:
            done = getattr(request, "date_done", None) or self.app.now()
            done = done.isoformat() if format_date and hasattr(done, "isoformat") else done
        meta = {"status": state, "result": result, "traceback": traceback, "date_done": done}
        meta["children"] = self.current_task_children(request)
        around = {"group_id": getattr(request, "group", None), "parent_id": getattr(request, "parent_id", None)}
        meta |= {name: value for name, value in around.items() if value}
        if self._conf.result_extended and request is not None:
            from canvas.model.record import extended

            meta |= extended(request)
            if encode:
                meta |= {name: _bytes(self.encode(meta[name])) for name in ("args", "kwargs")}
        return meta

    def as_uri(self, include_password: bool = False) -> str:
        if not self.url:
            return f"{type(self).__module__}:{type(self).__qualname__}"
        from canvas.masking import masked_url

        return str(self.url) if include_password else masked_url(str(self.url))

    def __reduce__(self, args: Any = (), kwargs: Any = None) -> Any:
        return _unpickled, (type(self), args, kwargs or {})


def _unpickled(cls: Any, args: Any, kwargs: Any) -> Any:
    from canvas.context import current_app

    return cls(*args, app=current_app(), **kwargs)


def _is_own(cls: type, name: str) -> bool:
    """Whether a program's class defines a method."""
    return any(name in vars(one) for one in cls.__mro__ if not one.__module__.startswith("canvas."))


def _bytes(written: Any) -> bytes:
    return written.encode() if isinstance(written, str) else bytes(written)
