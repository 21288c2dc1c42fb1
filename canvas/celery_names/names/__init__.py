"""The modules of Celery, kombu and billiard that canvas serves, and where their names are."""

from canvas.celery_names.names.absent import NAMES_WITHOUT, WITHOUT
from canvas.celery_names.names.absent_modules import NAMES_OF
from canvas.celery_names.names.helpers import HELPERS
from canvas.celery_names.names.kombus import BILLIARDS, KOMBUS, KOMBUS_WITHOUT, KOMBUS_WORDS
from canvas.celery_names.names.places import Members
from canvas.celery_names.names.programs import PROGRAMS
from canvas.celery_names.names.workers import WORKERS

__all__ = [
    "ALIASES", "BILLIARD", "CELERY", "KOMBU", "KOMBUS_WITHOUT", "KOMBUS_WORDS", "MEMBERS", "NAMES_OF", "NAMES_WITHOUT",
    "OF_OTHERS", "WITHOUT",
]  # fmt: skip

CELERY, KOMBU, BILLIARD = "celery", "kombu", "billiard"

ALIASES = {
    "celery.app.trace": "canvas.worker.logs.task_lines",
    "celery.exceptions": "canvas.exceptions",
    "celery.result": "canvas.result",
    "celery.schedules": "canvas.schedules",
    "celery.signals": "canvas.signals",
    "celery.states": "canvas.model.states",
    "celery.worker.state": "canvas.worker.extending.state",
}
"""Modules of Celery that are modules of canvas."""
OF_OTHERS = {"sentry_sdk.integrations.celery": "canvas.integrations.sentry"}
"""Modules of other packages that work on Celery's inside, and canvas' own in their place."""
MEMBERS: dict[str, Members] = {**PROGRAMS, **WORKERS, **HELPERS, **KOMBUS, **BILLIARDS}
"""Modules that hold objects of canvas: by module, where each name is, as ``module:attribute``."""
