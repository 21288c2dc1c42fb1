"""Settings of a Django project that keeps results: in a file of SQLite's, or in a database of PostgreSQL's."""

import os

SECRET_KEY = "for tests"
INSTALLED_APPS = ["django_celery_results"]
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["RESULTS_DATABASE"],
        "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE"},
    }
}
if "RESULTS_POSTGRES" in os.environ:
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.postgresql", "USER": "postgres", "HOST": os.environ["RESULTS_POSTGRES"],
        "NAME": os.environ["RESULTS_DATABASE"],
    }  # fmt: skip
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": os.environ["RESULTS_DATABASE"] + ".cache",
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    }
}
