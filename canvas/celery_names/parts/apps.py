"""Names of ``celery.app`` and ``celery.bin``: the current app, the report, the command line."""

import sys
from collections.abc import Sequence
from typing import cast

from canvas.app.application import Canvas
from canvas.context import current_app


def app_or_default(app: Canvas | None = None) -> Canvas:
    """``app``, or the current app without one. Raises ConfigurationError when there is none."""
    return cast(Canvas, current_app()) if app is None else app


def bugreport(app: Canvas | None = None) -> str:
    """Versions and settings of an app, the current app by default, for a bug report."""
    return app_or_default(app).bugreport()


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``celery``'s command line."""
    from canvas.cli.main import main as run

    if argv is not None:
        sys.argv = list(argv)
    run()
