"""Result backends that users write on a store of values by key: ``celery.backends.base.KeyValueStoreBackend``."""

from collections.abc import Callable
from typing import Any

from canvas.model import states
from canvas.result.backend import Backend
from canvas.result.backend_classes.base_backend import BaseBackend
from canvas.result.handles import result_from_tuple
from canvas.text import as_text, str_to_bytes


class BaseKeyValueStoreBackend(BaseBackend):
    """A result backend of ``get``, ``set``, ``delete`` and, where the store can, ``mget`` and ``expire``, which a class
    derived from it defines."""

    is_kind_of: Callable[[Backend], bool] = staticmethod(lambda one: one.stores)
    key_t: Any = str_to_bytes
    task_keyprefix: Any = "celery-task-meta-"
    group_keyprefix: Any = "celery-taskset-meta-"
    chord_keyprefix: Any = "chord-unlock-"
    implements_incr = False
    """Whether Celery counts chords by ``incr``. canvas does not call it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Parameters as those of ``BaseBackend``."""
        if hasattr(self.key_t, "__func__"):
            self.key_t = self.key_t.__func__
        super().__init__(*args, **kwargs)
        prefix = str((self._conf.result_backend_transport_options or {}).get("global_keyprefix") or "")
        if prefix and prefix[-1] not in ":_-.":
            prefix += "_"
        for name in ("task_keyprefix", "group_keyprefix", "chord_keyprefix"):
            setattr(self, name, self.key_t(f"{prefix}{as_text(getattr(self, name))}"))

    def get(self, key: Any) -> Any:
        raise NotImplementedError("Must implement the get method.")

    def mget(self, keys: Any) -> Any:
        raise NotImplementedError("Does not support get_many")

    def set(self, key: Any, value: Any) -> Any:
        raise NotImplementedError("Must implement the set method.")

    def _set_with_state(self, key: Any, value: Any, state: str) -> Any:
        return self.set(key, value)

    def delete(self, key: Any) -> Any:
        raise NotImplementedError("Must implement the delete method")

    def incr(self, key: Any) -> Any:
        raise NotImplementedError("Does not implement incr")

    def expire(self, key: Any, value: Any) -> Any:
        """Celery's hook, which is called for chords."""

    def get_key_for_task(self, task_id: Any, key: Any = "") -> Any:
        return self._key(self.task_keyprefix, "task_id", task_id, key)

    def get_key_for_group(self, group_id: Any, key: Any = "") -> Any:
        return self._key(self.group_keyprefix, "group_id", group_id, key)

    def get_key_for_chord(self, group_id: Any, key: Any = "") -> Any:
        return self._key(self.chord_keyprefix, "group_id", group_id, key)

    def _key(self, prefix: Any, name: str, id: Any, key: Any) -> Any:
        if not id:
            raise ValueError(f"{name} must not be empty. Got {id} instead.")
        return self.key_t("").join([prefix, self.key_t(as_text(id)), self.key_t(as_text(key))])

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        meta["task_id"] = as_text(task_id)
        # A success stays: a task that a lost worker ran may end twice.
        if self._get_task_meta_for(task_id)["status"] != states.SUCCESS:
            self._set_with_state(self.get_key_for_task(task_id), self.encode(meta), state)
        return result

    def _get_task_meta_for(self, task_id: str, cache: bool = True) -> dict[str, Any]:
        return self._meta(self.get(self.get_key_for_task(task_id)))

    def _meta(self, value: Any) -> dict[str, Any]:
        return self.decode_result(value) if value else {"status": states.PENDING, "result": None}

    def metas_of(self, task_ids: list[str]) -> list[dict[str, Any]]:
        cls = type(self)
        has_mget = cls.mget is not BaseKeyValueStoreBackend.mget
        if (
            len(task_ids) < 2
            or not has_mget
            or cls._get_task_meta_for is not BaseKeyValueStoreBackend._get_task_meta_for
        ):
            return super().metas_of(task_ids)
        keys = [self.get_key_for_task(task_id) for task_id in task_ids]
        values = self.mget(keys)
        if hasattr(values, "items"):
            by_key = {as_text(key): value for key, value in values.items()}
            values = [by_key.get(as_text(key)) for key in keys]
        return [self._meta(value) for value in values]

    def _forget(self, task_id: str) -> None:
        self.delete(self.get_key_for_task(task_id))

    def _save_group(self, group_id: str, result: Any) -> Any:
        written = self.encode({"result": result.as_tuple()})
        self._set_with_state(self.get_key_for_group(group_id), written, states.SUCCESS)
        return result

    def _restore_group(self, group_id: str) -> dict[str, Any] | None:
        value = self.get(self.get_key_for_group(group_id))
        if not value:
            return None
        meta: dict[str, Any] = self.decode(value)
        meta["result"] = result_from_tuple(meta["result"], self.app)
        return meta

    def _delete_group(self, group_id: str) -> None:
        self.delete(self.get_key_for_group(group_id))


class KeyValueStoreBackend(BaseKeyValueStoreBackend):
    """A result backend of values by key. ``isinstance`` says whether a backend stores results at all."""

    is_kind_of: Callable[[Backend], bool] = staticmethod(lambda one: one.stores)


class DisabledBackend(BaseBackend):
    """The result backend of an app that has none: ``isinstance(app.backend, DisabledBackend)``."""

    is_kind_of: Callable[[Backend], bool] = staticmethod(lambda one: not one.stores)
