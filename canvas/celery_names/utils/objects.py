"""Names of ``celery.utils.objects`` and ``celery.utils.abstract``."""

import functools
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any


def _has(kind: Any, names: Iterable[str]) -> bool:
    return all(any(name in vars(base) for base in kind.__mro__) for name in names)


class CallableTask(metaclass=ABCMeta):
    """Tasks and signatures: any object with these methods."""

    @classmethod
    def register(cls, other: type) -> type:
        """Make instances of ``other`` count as instances of this class. Returns ``other``."""
        return ABCMeta.register(cls, other)

    @abstractmethod
    def delay(self, *args: Any, **kwargs: Any) -> Any: ...

    @abstractmethod
    def apply_async(self, *args: Any, **kwargs: Any) -> Any: ...

    @abstractmethod
    def apply(self, *args: Any, **kwargs: Any) -> Any: ...

    @classmethod
    def __subclasshook__(cls, kind: Any) -> bool:
        return (cls is CallableTask and _has(kind, ("delay", "apply_async", "apply"))) or NotImplemented


_PART: Any = property(abstractmethod(lambda self: None))


class CallableSignature(CallableTask):
    """Signatures: any object with their methods."""

    name = type = app = id = task = args = kwargs = options = subtask_type = chord_size = immutable = _PART

    @abstractmethod
    def clone(self, args: Any = None, kwargs: Any = None) -> Any: ...

    @abstractmethod
    def freeze(
        self, id: Any = None, group_id: Any = None, chord: Any = None, root_id: Any = None, group_index: Any = None
    ) -> Any: ...

    @abstractmethod
    def set(self, immutable: Any = None, **options: Any) -> Any: ...

    @abstractmethod
    def link(self, callback: Any) -> Any: ...

    @abstractmethod
    def link_error(self, errback: Any) -> Any: ...

    @abstractmethod
    def __or__(self, other: Any) -> Any: ...

    @abstractmethod
    def __invert__(self) -> Any: ...

    @classmethod
    def __subclasshook__(cls, kind: Any) -> bool:
        names = ("clone", "freeze", "set", "link", "link_error", "__or__")
        return (cls is CallableSignature and _has(kind, names)) or NotImplemented


class Bunch:
    """An object with the given attributes."""

    def __init__(self, **kwargs: Any) -> None:
        self.__dict__.update(kwargs)


def mro_lookup(
    cls: type, attr: str, stop: Iterable[type] | None = None, monkey_patched: Iterable[str] | None = None
) -> type | None:
    """The first class in the method resolution order of ``cls`` that defines ``attr``; ``None`` at a class of
    ``stop``, unless its attribute comes from another module than those in ``monkey_patched``."""
    stopped, patched = set(stop or ()), set(monkey_patched or ())
    for node in cls.mro():
        if node in stopped:
            module = getattr(vars(node).get(attr), "__module__", None)
            return node if module is not None and module not in patched and patched else None
        if attr in vars(node):
            return node
    return None


class FallbackContext:
    """A context manager that gives ``provided``, or the object of the context manager that ``fallback`` makes."""

    def __init__(self, provided: Any, fallback: Callable[..., Any], *fb_args: Any, **fb_kwargs: Any) -> None:
        self.provided = provided
        self.fallback = fallback
        self.fb_args, self.fb_kwargs = fb_args, fb_kwargs
        self._context: Any = None

    def __enter__(self) -> Any:
        if self.provided is not None:
            return self.provided
        self._context = self.fallback(*self.fb_args, **self.fb_kwargs)
        return self._context.__enter__()

    def __exit__(self, *exc: object) -> Any:
        return None if self._context is None else self._context.__exit__(*exc)


class getitem_property:
    """An attribute that is an item of its object, or of the mapping at the end of a path of items."""

    def __init__(self, keypath: str, doc: str | None = None) -> None:
        *self.path, self.key = keypath.split(".")
        self.__doc__ = doc

    def _mapping(self, obj: Any) -> Any:
        return functools.reduce(lambda found, key: found[key], self.path, obj)

    def __get__(self, obj: Any, type: Any = None) -> Any:
        return type if obj is None else self._mapping(obj).get(self.key)

    def __set__(self, obj: Any, value: Any) -> None:
        self._mapping(obj)[self.key] = value


class cached_property(functools.cached_property[Any]):
    """A value that is computed at its first use. ``setter`` gives the value to keep, ``deleter`` sees the one that is
    deleted."""

    def __init__(
        self, fget: Callable[[Any], Any], fset: Callable[[Any, Any], Any] | None = None,
        fdel: Callable[[Any, Any], Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(fget)
        self._set, self._delete = fset, fdel

    def __set_name__(self, owner: type, name: str) -> None:
        if self.attrname is None:
            super().__set_name__(owner, name)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        kept = vars(instance)
        if self.attrname not in kept:
            kept[self.attrname] = self.func(instance)
        return kept[self.attrname]

    def __set__(self, instance: Any, value: Any) -> None:
        vars(instance)[self.attrname] = value if self._set is None else self._set(instance, value)

    def __delete__(self, instance: Any) -> None:
        kept = vars(instance).pop(self.attrname, self)
        if self._delete is not None and kept is not self:
            self._delete(instance, kept)

    def setter(self, fset: Callable[[Any, Any], Any]) -> "cached_property":
        """The property with a function that is called with a value that is set."""
        return type(self)(self.func, fset, self._delete)

    def deleter(self, fdel: Callable[[Any, Any], Any]) -> "cached_property":
        """The property with a function that is called with the value that is deleted."""
        return type(self)(self.func, self._set, fdel)
