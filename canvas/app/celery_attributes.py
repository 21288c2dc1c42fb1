"""Further names of Celery's that an app has: classes of its parts, and small questions about it."""

import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from datetime import UTC
from typing import Any

from canvas.app.sending import SendingApp
from canvas.app.services import Part
from canvas.config.sources import imported
from canvas.config.zones import zone_named

_PARTS = "canvas.celery_names.parts"
_AMQP = f"{_PARTS}.amqp:AMQP"
_LOADER = f"{_PARTS}.loaders:AppLoader"
_LOADERS = {"app": _LOADER, "default": f"{_PARTS}.loaders:Loader"}


class CeleryNames(SendingApp):
    """An app with these names."""

    amqp_cls: Any = _AMQP
    loader_cls: Any = _LOADER
    log_cls: Any = f"{_PARTS}.logging_setup:Logging"
    IS_macOS, IS_WINDOWS = sys.platform == "darwin", sys.platform == "win32"
    loader: Any
    builtin_fixups: Any = frozenset({"canvas.integrations.django:fixup"})
    use_fast_trace_task = False
    set_as_current: bool
    """Whether it became the current app when it was made."""

    def _choose(self, **parts: Any) -> None:
        """Take the classes of parts that were given. Without a loader: the one that ``CELERY_LOADER`` names."""
        parts["loader"] = parts["loader"] or os.environ.get("CELERY_LOADER") or None
        for name, part in parts.items():
            if part is not None:
                setattr(self, f"{name}_cls", _LOADERS.get(part, part) if isinstance(part, str) else part)

    def _source_of_loader(self) -> Any:
        return None if self.loader_cls == _LOADER else self.loader.read_configuration()

    @property
    def backend_aliases(self) -> Mapping[str, str]:
        """Names of result backends that the app's loader gives: ``override_backends``."""
        # A loader has a module of its own, which most programs do not need.
        made = "loader" in vars(self) or self.loader_cls != _LOADER
        found: Mapping[str, str] = self.loader.override_backends if made else {}
        return found

    @property
    def SYSTEM(self) -> str:
        """The operating system."""
        return os.uname().sysname if hasattr(os, "uname") else "Windows"

    @property
    def fixups(self) -> list[Any]:
        """Django's fixup, in a Django project."""
        return [self._django] if self._django is not None else []

    @property
    def type_checker(self) -> Any:
        """A function that gives a function with another's parameters, to check a call's arguments with."""
        return imported("canvas.celery_names.utils.functional:head_from_fun")

    def create_task_cls(self) -> Any:
        """The base of this app's tasks."""
        return self.Task

    def subclass_with_self(self, Class: Any, name: str | None = None, attribute: str = "app", **more: Any) -> Any:
        """A class below ``Class``, or the class at that path, that has this app as ``attribute``."""
        base = imported(Class) if isinstance(Class, str) else Class
        fields = {"__module__": base.__module__, "__doc__": base.__doc__, attribute: self}
        return type(name or base.__name__, (base,), {**fields, **more})

    def prepare_config(self, c: Any) -> Any:
        """For subclasses: the settings that a configuration object gives, before they are read."""
        return c

    amqp = Part("amqp_cls")
    producer_pool = Part("canvas.celery_names.parts.amqp:producer_pool")

    def use_own_messages(self) -> None:
        """Make ``amqp`` where the program has a class of its own for it: its functions make the app's messages."""
        if self.amqp_cls != _AMQP:
            self.own_messages = self.amqp

    def producer_or_acquire(self, producer: Any = None) -> Any:
        """``producer`` in a context manager, or one of ``producer_pool`` without it."""
        return nullcontext(producer) if producer is not None else self.producer_pool.acquire(block=True)

    def default_producer(self, producer: Any = None) -> Any:
        """``producer`` in a context manager, or one of ``producer_pool`` without it."""
        return self.producer_or_acquire(producer)

    @property
    def thread_oid(self) -> str:
        """``oid``."""
        return self.oid

    @property
    def annotations(self) -> Any:
        """The setting ``task_annotations``."""
        return self.conf.task_annotations

    @property
    def namespace(self) -> str | None:
        """The namespace of the configuration object."""
        return self._source[1]

    @property
    def configured(self) -> bool:
        """Whether the settings have been read."""
        return "conf" in self.__dict__

    def uses_utc_timezone(self) -> bool:
        """Whether the app's time zone is UTC."""
        return self.timezone in (UTC, zone_named("UTC"))

    def either(self, default_key: str, *defaults: Any) -> Any:
        """The first of ``defaults`` that is not None, else the setting ``default_key``."""
        return next((value for value in defaults if value is not None), self.conf.get(default_key))

    def select_queues(self, queues: Iterable[str] | str | None = None) -> None:
        """Let workers of this program consume only these of the queues."""
        names = [queues] if isinstance(queues, str) else list(queues or ())
        if names:
            self.conf.task_queues = self.router.consumed(names)

    def config_from_cmdline(self, argv: Iterable[str], namespace: str = "celery") -> None:
        """Take settings from words such as ``worker.concurrency=4``; ``.name=value`` is of the ``namespace``."""
        for word in argv:
            name, _, value = word.partition("=")
            part, _, setting = name.rpartition(".")
            self.conf[f"{part or namespace}_{setting}".lower().removeprefix("celery_")] = value

    def setup_security(
        self, allowed_serializers: Any = None, key: Any = None, key_password: Any = None, cert: Any = None,
        store: Any = None, digest: str | None = None, serializer: str = "json",
    ) -> None:  # fmt: skip
        """Sign messages and check their signatures by certificates, as ``celery.security.setup_security`` says.

        An argument that is not given is taken from the setting ``security_…``. Raises ConfigurationError, and
        SignatureError for a key or certificate that cannot be read.
        """
        setup = imported("canvas.celery_names.security:setup_security")
        setup(allowed_serializers, key, key_password, cert, store, digest, serializer, app=self)
