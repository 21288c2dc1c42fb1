import json

import django
from mysite.celery import debug_task

django.setup()

from celery import chain, chord, group  # noqa: E402
from demoapp.models import Widget  # noqa: E402
from demoapp.tasks import add, count_widgets, mul, rename_widget, xsum  # noqa: E402
from django.db import transaction  # noqa: E402
from django_celery_results.models import TaskResult  # noqa: E402

print(debug_task.delay().get(timeout=20), debug_task.ignore_result)
widget = Widget.objects.create(name="old")
with transaction.atomic():
    other = Widget.objects.create(name="other")
    print(rename_widget.delay_on_commit(other.pk, "later"))
print(rename_widget.delay(widget.pk, "new").get(timeout=20), count_widgets.delay().get(timeout=20))
widget.refresh_from_db()
print(widget.name)
missing = rename_widget.delay(99, "x")
print(repr(missing.get(timeout=20, propagate=False)), missing.state)
print(chain(add.s(1, 2), mul.s(3))().get(timeout=20), group(add.s(n, n) for n in range(3))().get(timeout=20))
print(chord([add.s(1, 1), add.s(2, 2)], xsum.s())().get(timeout=20))
row = TaskResult.objects.get(task_id=missing.id)
print(row.status, row.task_name, row.task_args, row.task_kwargs, row.content_type, json.loads(row.result))
print(sorted(set(TaskResult.objects.values_list("task_name", "status"))))
