"""Names of ``celery.utils``."""
