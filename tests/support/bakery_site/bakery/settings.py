import os

SECRET_KEY = "for tests"
INSTALLED_APPS = ["orders.apps.OrdersConfig"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["BAKERY_DATABASE"]}}
if "BAKERY_POSTGRES" in os.environ:
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.postgresql", "USER": "postgres", "HOST": os.environ["BAKERY_POSTGRES"],
        "NAME": os.environ["BAKERY_DATABASE"],
    }  # fmt: skip
if os.environ["APP_BACKEND"] == "django-db":
    INSTALLED_APPS.append("django_celery_results")
    CELERY_RESULT_EXTENDED = True
USE_TZ = True
CELERY_BROKER_URL = os.environ["APP_BROKER"]
CELERY_RESULT_BACKEND = os.environ["APP_BACKEND"]
CELERY_TASK_TRACK_STARTED = True
if "BAKERY_REUSE" in os.environ:
    CELERY_DB_REUSE_MAX = int(os.environ["BAKERY_REUSE"])
