"""The services of an app (driver, router, sender, ...); each is made from settings and from other services."""

from collections.abc import Callable, Iterable, Mapping
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from canvas.app.registry import TaskRegistry
from canvas.config.config import Config
from canvas.config.sources import imported

if TYPE_CHECKING:
    from canvas.beat.configured_entries import SetupApp
    from canvas.beat.schedule import Schedule
    from canvas.drivers.ports import Driver
    from canvas.producer.message_builder import BuilderApp, MessageBuilder
    from canvas.producer.plain_calls import PlainApp, PlainCalls
    from canvas.producer.planner import SenderApp
    from canvas.producer.routing import Router
    from canvas.producer.sender import Sender
    from canvas.remote.control import Control
    from canvas.remote.events import EventApp, Events, SentEvents
    from canvas.result.backend_classes import BackendApp, ResultTarget, StoringApp
    from canvas.result.celery_backend import CeleryBackend
    from canvas.wire.signing import Signer
    from canvas.workflows.store import RunStore

App_contra = TypeVar("App_contra", contravariant=True)
T_co = TypeVar("T_co", covariant=True)

_ROUTES = ("task_routes", "task_queues", "task_create_missing_queues", "task_default_queue", "task_default_exchange",
           "task_default_exchange_type", "task_default_routing_key", "task_default_queue_type",
           "task_create_missing_queue_type", "task_create_missing_queue_exchange_type", "task_queue_max_priority",
           )  # fmt: skip
_INBOX_SETTINGS = ("control_queue_ttl", "control_queue_expires", "control_queue_exclusive", "control_queue_durable",
                  "event_queue_ttl", "event_queue_expires", "event_queue_exclusive", "event_queue_durable",
                  "event_queue_prefix")  # fmt: skip
_DATABASE_SETTINGS = ("database_engine_options", "database_engine_callback", "database_table_schemas",
                     "database_table_names", "database_create_tables_at_setup")  # fmt: skip
_SERVERS = ("broker_url", "broker_read_url", "broker_write_url", "broker_shards", "broker_use_ssl",
            "broker_transport_options", "broker_heartbeat",
            "broker_login_method", "broker_native_delayed_delivery_queue_type", "canvas_state", "result_backend",
            "redis_backend_use_ssl", "result_backend_transport_options", "result_serializer", "result_extended",
            "result_persistent", "cache_backend", "cache_backend_options",
            *_INBOX_SETTINGS, *_DATABASE_SETTINGS)  # fmt: skip
_REDIS_PARTS = ("redis_host", "redis_port", "redis_db", "redis_username", "redis_password")
_RESULTS = ("accept_content", "result_accept_content", "result_serializer", "result_chord_unlock",
            "result_expires", "result_chord_expires", "task_message_max_depth")  # fmt: skip
_MESSAGES = ("task_serializer", "task_compression", "task_protocol", "task_message_max_depth", "task_message_max_bytes",
             "task_repr_maxlevels", "task_default_priority", "task_default_delivery_mode")  # fmt: skip
_PLAIN = ("task_always_eager", "task_send_sent_event", "task_publish_retry", "task_publish_retry_policy")
_SIGNING = ("message_signing_keys", "message_signature_required")
CONF = "conf"
"""The settings object, as a part of a service."""


class ConfiguredApp(Protocol):
    """An app with settings."""

    @property
    def conf(self) -> Config: ...


class ConnectedApp(ConfiguredApp, Protocol):
    """The parts of an app that its driver needs."""

    @property
    def reply_queue(self) -> Mapping[str, Any]: ...

    @property
    def result_target(self) -> "ResultTarget": ...


class RouterApp(ConfiguredApp, Protocol):
    """The parts of an app that its router needs."""

    @property
    def registry(self) -> TaskRegistry: ...


class RunsApp(ConfiguredApp, Protocol):
    """The parts of an app that its store of runs needs."""

    @property
    def driver(self) -> "Driver": ...

    @property
    def signer(self) -> "Signer": ...


class Service(Generic[App_contra, T_co]):
    """An attribute of an app that is made at its first use and kept until a setting or a part of it changes."""

    def __init__(
        self,
        make: Callable[[App_contra], T_co],
        settings: Iterable[str] = (),
        parts: Iterable[str] = (),
        close: Callable[[Any], None] | None = None,
    ) -> None:
        """``settings``: the settings that ``make`` reads; ``parts``: the services that it keeps; ``close`` releases
        the connections of the service."""
        self.settings = frozenset(settings)
        self.parts = frozenset(parts)
        self.close = close
        self._make = make
        self._lock = RLock()

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: Any = None) -> "Service[App_contra, T_co]": ...

    @overload
    def __get__(self, instance: App_contra, owner: Any = None) -> T_co: ...

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        with self._lock:
            found = instance.__dict__
            if self.name not in found:
                found[self.name] = self._make(instance)
            return found[self.name]


class Part:
    """An attribute of an app by one of Celery's names. Few programs use it: its module is imported at first use."""

    def __init__(self, place: str) -> None:
        """``place``: ``module:name`` of a class or function, which is called with the app; or the attribute of the app
        that has the class, or its path."""
        self._place = place

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        make = self._place if ":" in self._place else getattr(instance, self._place)
        found = instance.__dict__[self._name] = class_at(make)(instance)
        return found


def class_at(named: Any) -> Any:
    """A class, or the class at a path. Raises ImportError or AttributeError."""
    return imported(named) if isinstance(named, str) else named


# Modules are imported when a service is first made: many programs define tasks and send none.
def make_signer(app: ConfiguredApp) -> "Signer":
    from canvas.wire.signing import signer

    return signer(app.conf.message_signing_keys, app.conf.message_signature_required)


def make_accept_content(app: ConfiguredApp) -> frozenset[str]:
    from canvas.wire.codecs import accepted

    return accepted(app.conf.accept_content or ())


def make_router(app: RouterApp) -> "Router":
    from canvas.producer.routing import router_of

    router = router_of(app.conf)
    router.tasks = app.registry
    return router


def make_message_builder(app: "BuilderApp") -> "MessageBuilder":
    from canvas.producer.message_builder import MessageBuilder

    app.use_own_messages()
    return MessageBuilder(app.conf, app.router, app.registry, app, app.driver.broker.codec)


def make_result_target(app: "BackendApp") -> "ResultTarget":
    from canvas.result.backend_classes import result_target

    return result_target(app)


def make_driver(app: ConnectedApp) -> "Driver":
    from canvas.app.broker_address import broker_address, checked_shards
    from canvas.app.driver_options import broker_options, result_options, state_options
    from canvas.drivers import open_driver

    conf, target = app.conf, app.result_target
    url = broker_address(conf)
    return open_driver(
        url, target.url, broker_options=broker_options(conf, url),
        result_options=result_options(conf, target, _DATABASE_SETTINGS, app.reply_queue),
        state_url=conf.canvas_state, state_options=state_options(conf, _DATABASE_SETTINGS),
        broker_shards=checked_shards(conf), store=target.store,
    )  # fmt: skip


def close_driver(driver: "Driver") -> None:
    driver.close()


def make_backend(app: "StoringApp") -> "CeleryBackend":
    from canvas.result.backend_classes import backend_of

    return backend_of(app)


def make_run_store(app: RunsApp) -> "RunStore":
    from canvas.workflows.store import call_once

    return open_run_store(app, call_once)


def open_run_store(app: RunsApp, persist: Callable[[Callable[[], Any]], Any]) -> "RunStore":
    """The data of workflows' runs, read and written by calls that ``persist`` makes."""
    from canvas.config.lifetimes import run_lifetimes
    from canvas.workflows.store import RunStore

    conf = app.conf
    return RunStore(app.driver.runs, conf.task_serializer, run_lifetimes(conf), persist, app.signer)


def make_sender(app: "SenderApp") -> "Sender":
    from canvas.producer.sender import Sender

    return Sender(app)


def make_plain_calls(app: "PlainApp") -> "PlainCalls":
    from canvas.producer.plain_calls import PlainCalls

    return PlainCalls(app)


def make_sent_events(app: "EventApp") -> "SentEvents":
    from canvas.remote.events import SentEvents

    return SentEvents(app)


def make_schedule(app: "SetupApp") -> "Schedule":
    from canvas.beat.schedule import Schedule

    return Schedule(app)


class Services:
    """The services of an app. Each stands below its parts, so that they are closed in reverse order."""

    signer = Service(make_signer, _SIGNING, [CONF])
    """Signs messages and records, and checks received ones, by ``message_signing_keys``."""
    accept_content = Service(make_accept_content, ["accept_content"], [CONF])
    """The content types that messages may have."""
    router = Service(make_router, _ROUTES, [CONF])
    result_target = Service(make_result_target, [*_SERVERS, *_REDIS_PARTS, "database_url"])
    driver = Service(make_driver, _SERVERS, ["result_target"], close=close_driver)
    """The connection to broker and results."""
    client = Service(make_message_builder, _MESSAGES, parts=[CONF, "router", "signer", "driver"])
    backend = Service(make_backend, _RESULTS, [CONF, "driver", "result_target"])
    run_store = Service(make_run_store, ["task_serializer", "workflow_run_expires"], [CONF, "driver", "signer"])
    """The data of workflows' runs."""
    sender = Service(make_sender, ["task_publish_retry_policy"])
    plain_calls: "Service[Any, PlainCalls]" = Service(make_plain_calls, _PLAIN, ["client"])
    """Sends calls of single tasks."""
    backend_cls: Any = None
    """A result backend, as ``result_backend`` takes it; it comes before that setting."""
    control_cls: Any = "canvas.remote.control:Control"
    events_cls: Any = "canvas.remote.events:Events"
    control: "Service[Any, Control]" = Service(lambda app: class_at(app.control_cls)(app))
    schedule = Service(make_schedule)
    """The entries of periodic tasks, to be changed while beats run."""
    events: "Service[Any, Events]" = Service(lambda app: class_at(app.events_cls)(app))
    """The events of workers and clients."""
    sent_events = Service(make_sent_events, parts=["client"])

    @property
    def backend_aliases(self) -> Mapping[str, str]:
        """Names of result backends."""
        return {}

    def reconfigure(self, changed: str) -> None:
        """Drop every service that is made from a setting, or from ``CONF``, and the services made from these."""
        dropped = {changed}
        for service in TABLE:
            if changed in service.settings or service.parts & dropped:
                dropped.add(service.name)
                self.__dict__.pop(service.name, None)

    def close(self) -> None:
        """Drop every service and close its connections. Using the app again opens new ones."""
        for service in reversed(TABLE):
            made = self.__dict__.pop(service.name, None)
            if made is not None and service.close is not None:
                service.close(made)


TABLE: list[Service[Any, Any]] = [part for part in vars(Services).values() if isinstance(part, Service)]
"""The services, each after its parts."""
