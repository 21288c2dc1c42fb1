"""The app of the shop's tasks. Its settings are Django's that begin with ``CANVAS_``."""

import os

from canvas import Canvas

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
app = Canvas("shop")
app.config_from_object("django.conf:settings", namespace="CANVAS")
app.autodiscover_tasks()
