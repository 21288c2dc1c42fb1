"""A result backend that is derived from Celery's own class."""

from celery.backends.base import KeyValueStoreBackend


class Theirs(KeyValueStoreBackend):
    pass
