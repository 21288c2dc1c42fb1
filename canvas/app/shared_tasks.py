"""``@shared_task``: tasks of every app, for code that does not know which app will use it."""

from collections.abc import Callable, Coroutine, Mapping
from functools import cache, partial
from inspect import Signature, signature
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, overload
from weakref import WeakSet

from canvas.app.registry import task_name
from canvas.caller_warnings import without_own_frames
from canvas.context import current_app, has_current_app, reduced_task
from canvas.primitives.misuse import refuse_pipe
from canvas.task.arguments import P, R
from canvas.task.definition_checks import refuse_decorated
from canvas.task.task import Task

if TYPE_CHECKING:
    from canvas.task.decorator_types import BoundDecorator, Decorator, OfBase, T


class TaskFactory(Protocol):
    """An app, as far as shared tasks know it."""

    main: str | None

    @property
    def tasks(self) -> Mapping[str, Task[Any]]: ...

    def gen_task_name(self, name: str, module: str | None) -> str: ...

    def define_task(self, function: Callable[..., Any], **options: Any) -> Task[Any]: ...

    @property
    def on_after_finalize(self) -> Any: ...


Sharing: TypeAlias = Literal["asked", "by default"]
"""Whether a program has asked for a task to be shared, or tasks are shared unless it asks for the opposite."""
_definitions: list[tuple[Callable[..., Any], dict[str, Any]]] = []
_finalizers: list[Callable[[Any], Any]] = []
_apps: WeakSet[TaskFactory] = WeakSet()
_by_default = False
_stand_in: Callable[[], TaskFactory]
"""Gives the app of calls in this process while no other app exists."""


class SharedTask:
    """Stands for the current app's task of one function."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        copied = {name: getattr(function, name) for name in ("__doc__", "__module__", "__name__", "__qualname__")}
        for name, value in {**copied, "__wrapped__": function, "_options": options}.items():
            object.__setattr__(self, name, value)

    @property
    def __signature__(self) -> Signature:
        whole = signature(self.__wrapped__)
        bound = self._options.get("bind", False)
        return whole.replace(parameters=list(whole.parameters.values())[1:]) if bound else whole

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._task()) if has_current_app() else SharedTask

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        """The task's own: code that patches an attribute looks here for the value to restore."""
        return self._task().__dict__ if has_current_app() else {}

    @property
    def name(self) -> str:
        """The name in the current app: a task that is defined in ``__main__`` is named after the app."""
        return self._name_in(current_app() if has_current_app() else None)

    def _name_in(self, app: TaskFactory | None) -> str:
        function = self.__wrapped__
        generated = partial(task_name, None) if app is None else app.gen_task_name
        return self._options.get("name") or generated(function.__name__, function.__module__)

    def _task(self) -> Any:
        app = current_app() if has_current_app() else _stand_in()
        return app.tasks[self._name_in(app)]

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_") and not has_current_app():
            raise AttributeError(f"{self!r} has no attribute {attribute!r}")
        return getattr(self._task(), attribute)

    def __setattr__(self, attribute: str, value: Any) -> None:
        setattr(self._task(), attribute, value)

    def __delattr__(self, attribute: str) -> None:
        delattr(self._task(), attribute)

    def __dir__(self) -> list[str]:
        return dir(self._task())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._task()(*args, **kwargs)

    def __or__(self, other: Any) -> Any:
        refuse_pipe(self)

    def __eq__(self, other: object) -> bool:
        return self is other or bool(self._task() == other)

    def __hash__(self) -> int:
        return hash(self._task())

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced_task(self.name, self.__module__)

    def __repr__(self) -> str:
        return f"<@task: {self.name} (shared)>"


@overload
def shared_task(fun: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
@overload
def shared_task(fun: Callable[P, R], /) -> Task[P, R]: ...
@overload
def shared_task(*, base: "type[T]", **options: Any) -> "OfBase[T]": ...
@overload
def shared_task(*, bind: Literal[True], **options: Any) -> "BoundDecorator": ...
@overload
def shared_task(**options: Any) -> "Decorator": ...
@without_own_frames
def shared_task(*args: Any, **options: Any) -> Any:
    """``@shared_task`` or ``@shared_task(options)``: the function becomes a task of every app, past and to come."""

    @without_own_frames
    def make(function: Callable[..., Any]) -> SharedTask:
        share(function, options)
        return SharedTask(function, options)

    if len(args) == 1 and callable(args[0]):
        return make(args[0])
    if args:
        refuse_decorated("@shared_task", args)
    return make


def by_default() -> bool:
    """Whether the tasks of one app are also tasks of every other app, unless they have ``shared=False``. That is so in
    Celery, and in programs for Celery that canvas runs."""
    return _by_default


def share_by_default() -> None:
    global _by_default
    _by_default = True


def stand_in(make: Callable[[], TaskFactory]) -> None:
    """``make`` gives an app for tasks that are called, in this process, before there is one."""
    global _stand_in
    _stand_in = cache(make)


def share(function: Callable[..., Any], options: dict[str, Any], how: Sharing = "asked") -> None:
    """Give the task to every app, past and to come."""
    lent = {**options, "lent": how}
    _definitions.append((function, lent))
    for app in list(_apps):
        app.define_task(function, **lent)


def when_finalized(callback: Callable[[Any], Any]) -> None:
    """Call ``callback`` with each app, past and to come, when it is finalized."""
    _finalizers.append(callback)
    for app in list(_apps):
        _call_when_finalized(app, callback)


def _call_when_finalized(app: TaskFactory, callback: Callable[[Any], Any]) -> None:
    app.on_after_finalize.connect(lambda sender, **_: callback(sender), weak=False)


def bind_app(app: TaskFactory) -> None:
    """Give ``app`` every shared task there is, and those to come."""
    _apps.add(app)
    for callback in _finalizers:
        _call_when_finalized(app, callback)
    for function, options in _definitions:
        app.define_task(function, **options)
