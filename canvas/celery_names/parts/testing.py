"""Names of ``celery.contrib.testing``."""

from typing import Any
from uuid import uuid4

from canvas.app.application import Canvas
from canvas.app.shared_tasks import shared_task


def TestApp(name: str | None = None, config: Any = None, **options: Any) -> Canvas:
    """An app for tests, with broker and results in memory unless ``config`` has others."""
    url = f"memory://{uuid4()}"
    settings = {"broker_url": url, "result_backend": url, **(config or {})}
    return Canvas(name or "celery.tests", changes=settings, **options)


TestApp.__test__ = False  # type: ignore[attr-defined]


@shared_task(name="celery.ping")
def ping() -> str:
    """Simple task that just returns ``pong``."""
    return "pong"
