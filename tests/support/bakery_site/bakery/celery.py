import os

if os.environ["APP_LIBRARY"] == "celery":
    from celery import Celery as App
else:
    from canvas import Canvas as App

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bakery.settings")

app = App("bakery")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
