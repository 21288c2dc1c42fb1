"""A Django project with django-celery-results: each setting of the package, its pages, and those of its admin."""

import os

SECRET_KEY = "for tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    "django.contrib.messages", "django_celery_results",
]  # fmt: skip
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]  # fmt: skip
_CONTEXT = ["django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages"]  # fmt: skip
TEMPLATES = [
    {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
     "OPTIONS": {"context_processors": _CONTEXT}},
]  # fmt: skip
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SITE_DATABASE"], "OPTIONS": {"timeout": 30},
    }
}  # fmt: skip
if "SITE_POSTGRES" in os.environ:
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.postgresql", "USER": "postgres", "HOST": os.environ["SITE_POSTGRES"],
        "NAME": os.environ["SITE_DATABASE"],
    }  # fmt: skip
USE_TZ = os.environ["SITE_USE_TZ"] == "1"
TIME_ZONE = "Asia/Kathmandu"
DJANGO_CELERY_RESULTS = {"ALLOW_EDITS": True}
DJANGO_CELERY_RESULTS_TASK_ID_MAX_LENGTH = 100
DJANGO_CELERY_RESULTS_ID_FIRST_URLS = USE_TZ
CELERY_BROKER_URL = os.environ["SITE_BROKER"]
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = True
CELERY_TASK_TRACK_STARTED = True
CELERY_TIMEZONE = "Asia/Kathmandu"
