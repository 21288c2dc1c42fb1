"""The parts of an app that the dashboard uses, and a Canvas for a Celery app."""

from typing import Any, Protocol

from canvas.app.application import Canvas
from canvas.config.settings import SETTINGS
from canvas.errors import ConfigurationError


class CeleryApp(Protocol):
    """A Celery app: its name and its settings are used."""

    main: Any
    conf: Any


def canvas_of(app: Canvas | CeleryApp) -> Canvas:
    """``app`` itself, or a Canvas with the name and the settings of a Celery app. Raises ConfigurationError."""
    if isinstance(app, Canvas):
        return app
    conf = getattr(app, "conf", None)
    if conf is None or not hasattr(conf, "get"):
        raise ConfigurationError(f"dashboard: expected a Canvas or a Celery app; got {type(app).__name__}")
    given = {name: value for name in SETTINGS if (value := conf.get(name)) not in (None, SETTINGS[name].default)}
    return Canvas(app.main or "celery", set_as_current=False, changes=given)
