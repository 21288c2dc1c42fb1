"""The name ``celery``, served by canvas: programs that import Celery run on canvas without a changed line.

Importing this package installs it, once for a process, and must come before the first ``import celery``. ``canvas
celery ...`` does that for a command, ``python -m canvas.as_celery manage.py runserver`` for a program, and
``CANVAS_AS_CELERY=1`` for every program that imports canvas. Modules named ``celery`` are then canvas' own modules, or
modules that hold canvas' own objects; whether Celery is installed beside canvas makes no difference. ``kombu`` is
served in the same way where it is not installed.
"""

from canvas.celery_names.importer import install

__all__ = ["install"]

install()
