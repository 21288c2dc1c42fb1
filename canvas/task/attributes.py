"""The attributes of a task: its options, those of them that settings give, and its hooks."""

from typing import Any, Protocol

from canvas.config.config import Config
from canvas.context import current_app, has_current_app, request_of
from canvas.errors import ConfigurationError, MaxRetriesExceededError, OperationalError
from canvas.model.call_options import ATTRIBUTES
from canvas.task.annotations import annotate
from canvas.task.limits import KeyFunction
from canvas.task.pydantic_models import Models
from canvas.task.request_stack import RequestStack


class Binder(Protocol):
    """An app that gives its tasks the values of settings."""

    def bind_task(self, task: Any) -> Any: ...


class Registered(Protocol):
    """A task that may belong to an app."""

    app: Binder | None


class CurrentApp:
    """The app of a task that is not registered: the current one, or ``None``."""

    def __get__(self, task: Registered | None, owner: type | None = None) -> Any:
        if task is not None and "app" in task.__dict__:
            return task.__dict__["app"]
        return current_app() if has_current_app() else None


class GetApp:
    """``task._get_app()``, and ``cls._get_app()`` in plug-ins' class methods: the task's app, or the current one."""

    def __get__(self, task: Registered | None, owner: type[Any]) -> Any:
        return lambda: (owner if task is None else task).app


class _FromSettings:
    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, task: Registered | None, owner: type | None = None) -> Any:
        if task is None or task.app is None:
            return None
        task.app.bind_task(task)
        return task.__dict__[self._name]


def from_settings() -> Any:
    """An attribute whose default is the value of a setting.

    Binding a task writes the value into the task, which hides the descriptor. Reading it earlier binds the task.
    """
    return _FromSettings()


FROM_CONFIG = {
    "serializer": "task_serializer",
    "rate_limit": "task_default_rate_limit",
    "priority": "task_default_priority",
    "time_limit": "task_time_limit",
    "soft_time_limit": "task_soft_time_limit",
    "track_started": "task_track_started",
    "acks_late": "task_acks_late",
    "acks_on_failure_or_timeout": "task_acks_on_failure_or_timeout",
    "acks_on_failure": "task_acks_on_failure",
    "acks_on_timeout": "task_acks_on_timeout",
    "reject_on_worker_lost": "task_reject_on_worker_lost",
    "ignore_result": "task_ignore_result",
    "store_eager_result": "task_store_eager_result",
    "store_errors_even_if_ignored": "task_store_errors_even_if_ignored",
}
"""Attributes that take a setting's value while the task leaves them at ``None``."""


class SettingsApp(Protocol):
    """The parts of an app that give its tasks the values of settings."""

    strict_typing: bool

    @property
    def conf(self) -> Config: ...


class TaskOptions:
    """The attributes that a task's class, or ``@app.task``, may set, and the hooks that a class may define."""

    name: str = ""
    abstract: bool = True
    typing: bool | None = from_settings()
    """Whether a call's arguments are checked against the function; ``None``: as the app's ``strict_typing``."""
    max_retries: int | None = 3
    """Attempts after the first one; ``None``: no limit."""
    default_retry_delay: float = 180
    """Seconds until a retry that gives no ``countdown`` or ``eta``."""
    autoretry_for: tuple[type[BaseException], ...] = ()
    """Exceptions after which the task is retried automatically, as if it had called ``retry``."""
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    """Exceptions that are not retried, although ``autoretry_for`` names one of their base classes."""
    retry_kwargs: dict[str, Any] = {}
    """Arguments of that ``retry``: ``max_retries``, ``countdown``."""
    retry_backoff: bool | float = False
    """Double the delay with each retry, from this many whole seconds on, 1 at least (``True``: 1)."""
    retry_backoff_max: float = 600
    """The longest of these delays, in seconds."""
    retry_jitter: bool = True
    """Whether these delays are random, between 0 and the computed one."""
    rate_limit: str | float | None = from_settings()
    """How often it may start: ``"10/s"``, ``"5/m"``, ``"100/h"``, or a number a second."""
    rate_limit_scope: str = "worker"
    """``worker``: for each node, as in Celery; ``global``: for all nodes together."""
    concurrency_limit: int | None = None
    """How many calls of it, or of each ``concurrency_key``, may run at once on all workers."""
    concurrency_key: KeyFunction = None
    """Names of arguments, or a function of the arguments, whose values are counted separately."""
    unique_for: float | None = None
    """Seconds for which a call is not sent again while a call of the same key is not done."""
    unique_key: KeyFunction = None
    """Names of arguments, or a function of the arguments, that are the key of a call; ``None``: all arguments."""
    unique_until: str = "finish"
    """When the next may be sent: ``finish``, ``success``, ``start``, or only ``expiry``."""
    unique_conflict: str = "return"
    """A call that is not sent gives the result of the call with the lock (``return``) or DuplicateTask (``raise``)."""
    ignore_result: bool | None = from_settings()
    """Whether the result is not stored."""
    trail: bool = True
    """Whether the tasks that it sends are children of its result."""
    send_events: bool = True
    """Whether it has task events."""
    store_errors_even_if_ignored: bool | None = from_settings()
    """Store its failures although ``ignore_result`` is on."""
    serializer: str | None = from_settings()
    """The serializer of its messages: ``json``, ``msgpack``, ``yaml`` or ``pickle``."""
    compression: str | None
    """The compression of its messages."""
    time_limit: float | None = from_settings()
    """Seconds after which it is ended (prefork and asyncio pools)."""
    soft_time_limit: float | None = from_settings()
    """Seconds after which SoftTimeLimitExceeded is raised in it."""
    track_started: bool | None = from_settings()
    """Whether its record is STARTED while it runs."""
    acks_late: bool | None = from_settings()
    """Acknowledge the message with the result (true) or before the task starts (false)."""
    acks_on_failure_or_timeout: bool | None = from_settings()
    """The default of the next two."""
    acks_on_failure: bool | None = from_settings()
    """If false, a failed task's message is kept as a dead letter. Default: ``acks_on_failure_or_timeout``."""
    acks_on_timeout: bool | None = from_settings()
    """If false, a task that its hard time limit ended runs again. Default: ``acks_on_failure_or_timeout``."""
    reject_on_worker_lost: bool | None = from_settings()
    """If false, it is not run again after its worker died while it ran."""
    throws: tuple[type[BaseException], ...] = ()
    """Expected exceptions: a worker logs them without a traceback."""
    expires: Any = None
    """Seconds after sending, or a datetime, until which it must have started."""
    priority: int | None = from_settings()
    """The priority of its messages."""
    queue: str | None
    """The queue of its messages. As in Celery, a task has this attribute, ``exchange``, ``routing_key``,
    ``compression`` and ``delivery_mode`` only if it is given them."""
    exchange: str | None
    """The exchange of its messages."""
    routing_key: str | None
    """The routing key of its messages."""
    delivery_mode: Any
    """RabbitMQ: 1 transient, 2 persistent."""
    store_eager_result: bool | None = from_settings()
    """With ``task_always_eager``: store its result."""
    resultrepr_maxsize: int = 1024
    """The most characters of its result that logs and events show."""
    app = CurrentApp()
    """The app it is registered in; of a task that is not registered, the current one."""
    takes_itself: bool = False
    pydantic_models: Models | None = None
    """The pydantic models of its arguments and its result, if any."""
    Request: Any = "celery.worker.request:Request"
    """The class of the worker's requests, or its name: a subclass of ``celery.worker.request.Request`` with hooks."""
    Strategy: Any = "celery.worker.strategy:default"
    """Only Celery's default: a worker refuses a task with another."""
    MaxRetriesExceededError = MaxRetriesExceededError
    OperationalError = OperationalError

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Called in the worker before the task runs."""

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Called when it succeeded; ``retval`` is what it returned."""

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Called when it failed. ``exc`` is its exception, ``einfo`` has the traceback."""

    def on_retry(self, exc: BaseException | None, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Called when it is to run again. ``exc`` is the reason that ``retry`` was given, ``einfo`` the traceback."""

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Called when it succeeded or failed (``status``), after the hook for that. ``retval`` is its value or
        exception; ``einfo`` is ``None``, as in Celery."""

    @classmethod
    def on_bound(cls, app: SettingsApp) -> None:
        """Called when the task is bound to its app."""

    from_config = tuple(FROM_CONFIG.items())
    """The attributes that settings give, with the settings' names."""
    __v2_compat__, __trace__ = False, None

    @property
    def __bound__(self) -> bool:
        """Whether it is bound to an app."""
        return "app" in self.__dict__

    _get_app, _app = GetApp(), CurrentApp()

    def _get_current_object(self) -> Any:
        """The task itself: in Celery, a decorated function is a proxy."""
        return self

    __maybe_evaluate__ = _get_current_object

    def _get_exec_options(self) -> dict[str, Any]:
        """The options that attributes give in Celery, also those without a value."""
        names = (*ATTRIBUTES, "immediate", "mandatory")
        return {name: getattr(self, name, None) for name in names}

    @classmethod
    def annotate(cls) -> None:
        """Nothing: a task takes the setting ``task_annotations`` when it is bound."""

    @property
    def request_stack(self) -> RequestStack:
        """The requests of the task's calls."""
        return RequestStack(self)

    def send_event(self, type_: str, retry: bool = True, retry_policy: Any = None, **fields: Any) -> None:
        """Send an event about this call. ``type_``: its type, such as ``task-progress``. Raises OperationalError."""
        request = request_of(self)
        node, task_id = (None, None) if request is None else (request.hostname, request.id)
        with self.app.events.default_dispatcher(hostname=node) as dispatcher:
            dispatcher.send(type_, uuid=task_id, **fields)

    def start_strategy(self, app: SettingsApp, consumer: Any, **options: Any) -> None:
        """For ``app`` and ``consumer``, as Celery's. Raises ConfigurationError: canvas calls no strategies."""
        raise ConfigurationError("start_strategy: canvas takes messages without strategies, and calls none")

    @classmethod
    def add_around(cls, attr: str, around: Any) -> None:
        """Wrap the method ``attr``: ``around`` gets it, and returns the one to use."""
        wrapped = around(getattr(cls, attr))
        wrapped.__wrapped__ = getattr(cls, attr)
        setattr(cls, attr, wrapped)

    def bind(self, app: SettingsApp) -> None:
        """Make it ``app``'s, filling unset attributes from the app's settings."""
        self.app = app
        annotate(self, app.conf.task_annotations)
        self._leave_to("typing", app.strict_typing)
        for attribute, setting in FROM_CONFIG.items():
            self._leave_to(attribute, app.conf[setting])
        for attribute in ("acks_on_failure", "acks_on_timeout"):
            if self.__dict__[attribute] is None:
                self.__dict__[attribute] = self.acks_on_failure_or_timeout is not False
        # As in Celery, a function without @classmethod is called with the app alone.
        type(self).on_bound(app)

    def _leave_to(self, attribute: str, setting: Any) -> None:
        """Take the setting's value for an attribute that neither the task nor its class gives."""
        given = self.__dict__.get(attribute)
        given = getattr(type(self), attribute) if given is None else given
        self.__dict__[attribute] = setting if given is None else given


def exception_classes(given: Any) -> tuple[Any, ...]:
    """The classes that an option such as ``throws`` names, for ``isinstance``: one, or a collection of them at any
    depth."""
    if given is None:
        return ()
    if isinstance(given, list | tuple | set | frozenset):
        return tuple(one for inner in given for one in exception_classes(inner))
    return (given,)
