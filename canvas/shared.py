"""``@shared_task``: tasks of every app, for code that does not know which app will use it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from canvas.model.current import current_app, has_current_app
from canvas.model.names import task_name

if TYPE_CHECKING:
    from canvas.app import Canvas

_definitions: list[tuple[Callable[..., Any], dict[str, Any]]] = []
_apps: "WeakSet[Canvas]" = WeakSet()


class SharedTask:
    """Stands for the current app's task of one name."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.__dict__.update(name=name, __wrapped__=function, __doc__=function.__doc__, __name__=function.__name__)

    def _task(self) -> Any:
        return current_app().tasks[self.name]

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._task(), attribute)

    def __setattr__(self, attribute: str, value: Any) -> None:
        setattr(self._task(), attribute, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not has_current_app():
            return self.__wrapped__(*args, **kwargs)
        return self._task()(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedTask, (self.name, self.__wrapped__)

    def __repr__(self) -> str:
        return f"<@task: {self.name} (shared)>"


def shared_task(*args: Any, **options: Any) -> Any:
    """``@shared_task`` or ``@shared_task(options)``: the function becomes a task of every app, past and to come."""

    def make(function: Callable[..., Any]) -> SharedTask:
        remember(function, options)
        for app in list(_apps):
            app._task_from_fun(function, **options)
        name = options.get("name") or task_name(None, function.__name__, function.__module__)
        return SharedTask(name, function)

    if len(args) == 1 and callable(args[0]):
        return make(args[0])
    if args:
        raise TypeError(f"@shared_task takes a function or keyword options; got {args!r:.100}")
    return make


def remember(function: Callable[..., Any], options: dict[str, Any]) -> None:
    """Give the task to every app made from now on."""
    _definitions.append((function, dict(options)))


def adopt(app: "Canvas") -> None:
    """Give ``app`` every shared task there is, and those to come."""
    _apps.add(app)
    for function, options in _definitions:
        app._task_from_fun(function, **options)
