"""An app's settings: where they are read from, and which services are made again when they change."""

import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from canvas.app.services import CONF, Services
from canvas.config.config import Config
from canvas.config.settings import SETTINGS
from canvas.config.sources import imported
from canvas.errors import ConfigurationError


class ConfiguredApp(Services):
    """An app with settings: of keyword arguments, an object, the environment, and assignment to ``conf``."""

    def __init__(self, source: Any, namespace: str | None, silent: bool, overrides: Mapping[str, Any]) -> None:
        """``source``: an object with settings or its dotted name; ``silent``: a source that cannot be imported counts
        as none; ``overrides`` win over it."""
        self._source = (source, namespace)
        self._source_silent = silent
        self._overrides = overrides

    @cached_property
    def conf(self) -> Config:
        """The settings; assign to change them."""
        source, namespace = self._source
        if source is None:
            source = self._source_of_loader()
        if isinstance(source, str) and self._source_silent:
            try:
                source = imported(source)
            except (ImportError, AttributeError):
                source = None
        try:
            conf = Config.load(obj=source, namespace=namespace, environ=os.environ, overrides=self._overrides)
        except ImportError as exc:
            exc.add_note(f"Settings are read from {source!r}, which config_from_object() names")
            raise
        conf.bind_to(self.reconfigure)
        if type(conf.__dict__["_source"]).__module__ == "django.conf":
            from canvas.integrations.django_changes import follow  # imported late: it needs Django

            follow(conf)
        return conf

    def _source_of_loader(self) -> Any:
        """The settings that a loader of the program reads, for an app without another source of settings."""
        return None

    def config_from_object(
        self, obj: Any, silent: bool = False, force: bool = False, namespace: str | None = None
    ) -> Config | None:
        """Take settings from ``obj``: a module, an object, a mapping, or the dotted name of one. Values that were
        assigned to ``conf`` stay.

        ``namespace``: the beginning of the names that count (``"CELERY"``: ``CELERY_TASK_ACKS_LATE``). ``force``: read
        it now, not at first use. Returns the settings, if they are read now or were before.

        Raises ConfigurationError for unknown or ill-typed settings, and ImportError for a name without a module, unless
        ``silent``.
        """
        self._source, self._source_silent = (obj, namespace), silent
        before = self.__dict__.pop("conf", None)
        if before is not None or force:
            try:
                conf = self.conf
            except ConfigurationError:
                if not silent:
                    raise
                self._source = (None, None)
                conf = self.conf
            conf.update(before.assigned() if before is not None else {})
            self.reconfigure(CONF)
            for name in SETTINGS:
                if before is not None and conf[name] != before[name]:
                    self.reconfigure(name)
        return self.__dict__.get("conf")

    def config_from_envvar(self, variable_name: str, silent: bool = False, force: bool = False) -> bool:
        """Take settings from the module that the environment variable ``variable_name`` names. Returns whether it names
        one. ``force``: read it now, not at first use.

        Raises ConfigurationError for a variable that is not set, unless ``silent``.
        """
        module = os.environ.get(variable_name)
        if module:
            self.config_from_object(module, silent, force)
        elif not silent:
            raise ConfigurationError(f"environment variable {variable_name} is not set; expected a module name in it")
        return bool(module)

    def add_defaults(self, fun: Any) -> None:
        """Add default values: a mapping, or a function that makes one, for settings that have no other value."""
        self.conf.add_defaults(fun() if callable(fun) else fun)
