"""The dashboard: pages and an API that show workers, tasks, queues and workflows, and act on them."""

from typing import TYPE_CHECKING, Any

from canvas.dashboard.options import DashboardOptions

if TYPE_CHECKING:
    from canvas.app.application import Canvas
    from canvas.dashboard.app_parts import CeleryApp
    from canvas.dashboard.application import Dashboard

__all__ = ["DashboardOptions", "dashboard"]


def dashboard(app: "Canvas | CeleryApp", **options: Any) -> "Dashboard":
    """The dashboard of an app as an ASGI application: run it, or mount it in Starlette, FastAPI or Django.

    ``app``: a Canvas, or a Celery app, whose settings are used. ``options``: the fields of :class:`DashboardOptions`.
    Without one of ``basic_auth``, ``user_header`` and ``host_auth`` only programs on the same machine are answered.
    Raises ConfigurationError for options that contradict each other, and without Starlette.
    """
    from canvas.dashboard.application import application  # Starlette is an extra

    return application(app, DashboardOptions(**options))
