"""The name ``celery``, served by canvas: programs that import Celery run on canvas without a changed line.

Importing this package installs it, once for a process, and must come before the first ``import celery``. ``canvas
celery ...`` does that for a command, ``python -m canvas.as_celery manage.py runserver`` for a program, and
``CANVAS_AS_CELERY=1`` for every program that imports canvas. Modules named ``celery`` are then canvas' own modules, or
modules that hold canvas' own objects; whether Celery is installed beside canvas makes no difference. ``kombu`` is
served in the same way where it is not installed.
"""

import os
from functools import cache

from canvas.app import shared_tasks
from canvas.app.application import Canvas
from canvas.celery_names.importer import install
from canvas.context import set_default_app

__all__ = ["install"]


@cache
def _default_app() -> Canvas:
    """The app of programs that make none: its settings are in the module ``celeryconfig``, or another that
    ``CELERY_CONFIG_MODULE`` names, if there is one."""
    module = os.environ.get("CELERY_CONFIG_MODULE", "celeryconfig")
    return Canvas("default", config_source=module, config_source_silent=True, set_as_current=False)


install()
shared_tasks.share_by_default()
shared_tasks.stand_in(_default_app)
set_default_app(_default_app)
