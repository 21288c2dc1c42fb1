"""The dashboard: pages and an API that show workers, tasks, queues and workflows, and act on them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from canvas.dashboard.options import DashboardOptions

if TYPE_CHECKING:
    from canvas.app.application import Canvas
    from canvas.dashboard.app_parts import CeleryApp
    from canvas.dashboard.application import Dashboard
    from canvas.integrations.django_asgi import UrlPatterns

__all__ = ["DashboardOptions", "dashboard", "dashboard_urls"]


def dashboard(app: "Canvas | CeleryApp", **options: Any) -> "Dashboard":
    """The dashboard of an app as an ASGI application: run it, or mount it in Starlette, FastAPI or Django.

    ``app``: a Canvas, or a Celery app, whose settings are used. ``options``: the fields of :class:`DashboardOptions`.
    Without one of ``basic_auth``, ``user_header`` and ``host_auth`` only programs on the same machine are answered.
    Raises ConfigurationError for options that contradict each other, and without Starlette.
    """
    from canvas.dashboard.application import application  # imported late: Starlette is an extra

    return application(app, DashboardOptions(**options))


def dashboard_urls(
    app: "Canvas | CeleryApp", allowed: Callable[[Any], bool] | None = None, **options: Any
) -> "UrlPatterns":  # fmt: skip
    """The dashboard for a URLconf of Django: ``path("canvas/", dashboard_urls(app))``, under WSGI or ASGI.

    ``allowed``: whether the user of a request may use the dashboard, by default the users who may enter Django's admin;
    others are sent to Django's login. ``options``: the fields of :class:`DashboardOptions`. Raises ConfigurationError.
    """
    from canvas.integrations.django_asgi import is_staff, urls  # imported late: Django is the site's

    return urls(dashboard(app, **{"host_auth": True, **options}), "canvas_dashboard", allowed or is_staff)
