"""The app, and inside a worker the task, that the running code belongs to."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from importlib import import_module
from typing import Any, NamedTuple, Protocol, TypeVar

from canvas.errors import ConfigurationError

NO_APP = "no app: expected a Canvas(...) to exist before tasks are sent; create one"


T = TypeVar("T")


class ContextApp(Protocol):
    """The parts of the current app that any code may ask for."""

    @property
    def tasks(self) -> Mapping[str, Any]: ...

    @property
    def current_task(self) -> Any: ...


_apps: list[ContextApp] = []
_default: list[Callable[[], ContextApp]] = []
_argument: list[str] = []


class RetriedCall:
    """A task calls another one as a function, whose retries are retries of that call."""

    def __init__(self, name: str) -> None:
        """``name``: of the task that is called."""
        self.name = name
        self.asked: list[Any] = []
        """The Retry of each ``retry(throw=False)``."""

    def returned(self, value: T) -> T:
        """The value of the function, or of a list of its calls. Raises a Retry that is returned in it."""
        values: list[object] = value if isinstance(value, list) else []
        for retry in self.asked:
            if any(one is retry for one in values):
                raise retry
        return value


retried_call: ContextVar[RetriedCall | None] = ContextVar("canvas_retried_call", default=None)
_request: ContextVar[Any] = ContextVar("canvas_request", default=None)


def set_current_app(app: ContextApp) -> None:
    """Make ``app`` the one that ``shared_task`` and app-less signatures use."""
    _apps[:] = [app]


def current_app() -> Any:
    """The app made last, or set by ``set_current_app``.

    Raises ConfigurationError when no app was made, unless there is a default (``set_default_app``).
    """
    if _apps:
        return _apps[0]
    if _default:
        return _default[0]()
    raise ConfigurationError(NO_APP)


def set_default_app(make: Callable[[], ContextApp]) -> None:
    """``make`` gives the current app as long as no other app was made."""
    _default[:] = [make]


def set_app_argument(name: str) -> None:
    """Remember the value of ``-A`` on this process's command line, for ``command``."""
    _argument[:] = [name]


def command(words: str) -> str:
    """A command line of canvas for people to copy, with the ``-A`` of this process's own command line."""
    program = "canvas celery" if "canvas.as_celery" in sys.modules else "canvas"
    return " ".join([program, *(f"-A {name}" for name in _argument), words])


AppsState = tuple[list[ContextApp], list[Callable[[], ContextApp]]]


def kept_apps() -> AppsState:
    """The current app and the default one, for ``restore_apps``."""
    return list(_apps), list(_default)


def restore_apps(state: AppsState) -> None:
    """Make those the current app and the default one that were so at ``kept_apps``."""
    _apps[:], _default[:] = state


def has_current_app() -> bool:
    """Whether ``current_app`` would find one."""
    return bool(_apps)


class _ForwardedText(str):
    """The text of a class's attribute, which an instance reads from the object that it stands for.

    It is text itself: Python reads ``__module__`` and ``__doc__`` out of the class's dict, past any descriptor.
    """

    _name: str

    def __new__(cls, name: str, own: str | None) -> "_ForwardedText":
        found = super().__new__(cls, own or "")
        found._name = name
        return found

    def __get__(self, proxy: Any, owner: type) -> Any:
        return self if proxy is None else getattr(proxy._found(owner), self._name)


class Proxy:
    """A stand-in that calls ``find()`` at every use. It is false when ``find()`` returns ``None``.

    Calling it calls the object that ``find()`` returns, or returns that object if it is not callable."""

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[], Any]) -> None:
        object.__setattr__(self, "_find", find)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._found(self))

    def _found(self, otherwise: Any) -> Any:
        """For uses that must not raise: tools look at every name of a module."""
        try:
            return self._find()
        except ConfigurationError:
            return otherwise

    def __getattr__(self, name: str) -> Any:
        if name == "_find":
            raise AttributeError(name)
        return getattr(self._find(), name)

    def _get_current_object(self) -> Any:
        """The object itself, under the name that Celery's proxies have for it."""
        return self._find()

    def __copy__(self) -> Any:
        return self._find()

    def __deepcopy__(self, memo: Any) -> Any:
        return self._find()

    def __enter__(self) -> Any:
        return self._find().__enter__()

    def __exit__(self, *exc: object) -> Any:
        return self._find().__exit__(*exc)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._find(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._find(), name)

    def __dir__(self) -> list[str]:
        return dir(self._found(self.__class__))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        found = self._find()
        return found(*args, **kwargs) if callable(found) else found

    def __bool__(self) -> bool:
        return bool(self._found(None))

    def __eq__(self, other: object) -> bool:
        return bool(self._find() == other)

    def __hash__(self) -> int:
        return hash(self._find())

    def __repr__(self) -> str:
        return repr(self._found(None))


Proxy.__module__ = _ForwardedText("__module__", Proxy.__module__)
Proxy.__doc__ = _ForwardedText("__doc__", Proxy.__doc__)


class DirectCall(NamedTuple):
    """A task that is called as a function, with a request of its own."""

    task: Any
    request: Any
    around: "DirectCall | None"


_direct: ContextVar[DirectCall | None] = ContextVar("canvas_direct_call", default=None)


def enter_call(task: Any, request: Any) -> Token[DirectCall | None]:
    """Note that ``task`` is called as a function, until ``leave_call``."""
    return _direct.set(DirectCall(task, request, _direct.get()))


leave_call = _direct.reset


@contextmanager
def direct_call(task: Any, request: Any) -> Iterator[None]:
    """Within, ``task`` runs with ``request``. Its ``retry`` is called with an exception that ``autoretry_for`` names,
    as in Celery: outside of a worker ``retry`` raises that exception, and a test may have patched it."""
    token = enter_call(task, request)
    try:
        yield
    except BaseException as exc:
        retry = task.retry_after(exc)
        if retry is None:
            raise
        raise retry from exc
    finally:
        leave_call(token)


def request_of(task: Any) -> Any:
    """The request of ``task``'s innermost running call; ``None`` if it is not running."""
    call = _direct.get()
    while call is not None:
        if call.task is task:
            return call.request
        call = call.around
    request = _request.get()
    return request if request is not None and request.task == task.name else None


def called_task() -> Any:
    """The task that is called as a function here, or ``None``."""
    call = _direct.get()
    return None if call is None else call.task


def running_tasks() -> list[Any]:
    """The tasks this code runs in, the innermost last: the one that a worker runs, and those called as functions."""
    tasks = [call.task for call in _calls()]
    request = _request.get()
    if request is not None and request.runs is not None:
        tasks.append(request.runs)
    return tasks[::-1]


def requests_of(task: Any) -> list[Any]:
    """The requests of ``task``'s running calls, the innermost last."""
    requests = [call.request for call in _calls() if call.task is task]
    request = _request.get()
    if request is not None and request.task == task.name:
        requests.append(request)
    return requests[::-1]


def _calls() -> Iterator[DirectCall]:
    call = _direct.get()
    while call is not None:
        yield call
        call = call.around


def current_task() -> Any:
    """The task this code runs in, called as a function or not; ``None`` outside tasks."""
    request = _request.get()
    if request is not None and request.runs is not None:
        return called_task() or request.runs
    return current_app().current_task if has_current_app() else called_task()


def reduced_task(name: str, module: str) -> tuple[Any, ...]:
    """The value of ``__reduce__`` of a task."""
    return current_task_named, (name, module if module in sys.modules else None)


def current_task_named(name: str, module: str | None = None) -> Any:
    """The current app's task of that name, which ``module`` defines. A pickled task is unpickled by this."""
    if module is not None:
        import_module(module)
    return current_app().tasks[name]


current_request: Callable[[], Any] = _request.get
"""The request of the task that a worker, or ``apply()``, runs here; ``None`` outside of tasks. A task that this task
calls as a function has its own request (``request_of``)."""
enter_request = _request.set
leave_request = _request.reset


composing: ContextVar[Any] = ContextVar("canvas_composing", default=None)
"""The workflow that a function is composing: the tasks that it calls become nodes of the workflow."""
