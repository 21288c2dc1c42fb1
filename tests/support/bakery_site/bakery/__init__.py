"""A Django project as its documentation and Celery's have it; ``APP_LIBRARY`` says which of the two libraries it uses."""

from .celery import app as celery_app

__all__ = ("celery_app",)
