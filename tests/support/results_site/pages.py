"""Prints what the pages, the admin and the models of django-celery-results show of a project's results, as JSON."""

import datetime
import json
import sys

import django

django.setup()

from celery import chord, group  # noqa: E402 - Django first
from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402
from django.utils import timezone  # noqa: E402
from django_celery_results.models import ChordCounter, GroupResult, TaskResult  # noqa: E402
from project import add, app, bad, tells, total  # noqa: E402

ADMIN = "/admin/django_celery_results"
EDITED = ("task_id", "content_type", "content_encoding", "task_args", "task_kwargs", "status")


def main():
    User.objects.create_superuser("a", "a@example.org", "a")
    client, found = Client(), {}
    client.login(username="a", password="a")
    add.apply_async((1,), {"y": 2}, task_id="add.1-x").get(timeout=20)
    bad.apply_async(task_id="bad-1").get(timeout=20, propagate=False)
    tells.apply_async(task_id="tells").get(timeout=20)
    members = group(add.s(number) for number in range(3)).apply_async(task_id="group")
    members.get(timeout=20)
    members.save()
    found["chord"] = chord([add.s(number) for number in range(3)], total.s()).apply_async().get(timeout=20)
    found["long id"] = add.apply_async((1,), task_id="x" * 90).get(timeout=20)
    ids = {one.id: f"member {number}" for number, one in enumerate(members.results)}
    ids[members.id] = "group"
    pages = ["task/done/add.1-x", "task/status/add.1-x", "task/status/bad-1", "task/status/none"]
    pages += [f"group/done/{members.id}", f"group/status/{members.id}", "add.1-x/done"]
    for page in pages:
        text, name = client.get(f"/results/{page}/").content.decode(), page
        for task_id, named in ids.items():
            name, text = name.replace(task_id, named), text.replace(task_id, named)
        found[name] = json.loads(text).get("task") if name.startswith("task") else text[:60]
        if "traceback" in (found[name] or ()):
            found[name]["traceback"] = found[name]["traceback"].splitlines()[-1]
    found |= {
        f"row {row.task_id}": shown(row) for row in TaskResult.objects.filter(task_id__in=["add.1-x", "bad-1", "tells"])
    }
    found |= admin(client)
    found["models"] = [ChordCounter.objects.count(), GroupResult.objects.filter(group_id=members.id).count()]
    app.AsyncResult("bad-1").forget()
    found["forgotten"] = TaskResult.objects.filter(task_id="bad-1").count()
    long_ago = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC if settings.USE_TZ else None)
    TaskResult.objects.update(date_done=long_ago)
    app.backend.cleanup()
    found["after the clean-up"] = TaskResult.objects.count()
    print(json.dumps(found))


def shown(row):
    now = timezone.now() if settings.USE_TZ else datetime.datetime.now()
    return [row.status, row.task_name, row.task_args, row.task_kwargs, bool(row.worker), row.content_type,
            row.content_encoding, json.loads(row.result), json.loads(row.meta), row.periodic_task_name,
            row.date_started is not None, abs((now - row.date_done).total_seconds()) < 100]  # fmt: skip


def admin(client):
    row = TaskResult.objects.get(task_id="add.1-x")
    page = f"{ADMIN}/taskresult/{row.pk}/change/"
    edited = {**{name: getattr(row, name) for name in EDITED}, "task_name": "edited", "worker": "w", "traceback": ""}
    return {
        "listed": [
            name in client.get(f"{ADMIN}/taskresult/").content.decode() for name in ("add.1-x", "bad-1", "tells")
        ],
        "groups": client.get(f"{ADMIN}/groupresult/").status_code,
        "page": [text in client.get(page).content.decode() for text in ("add.1-x", "SUCCESS", "application/json")],
        "edit": client.post(page, edited).status_code,
        "value": app.AsyncResult("add.1-x").result,
    }


if sys.argv[1:] == ["migrate"]:
    call_command("migrate", verbosity=0)
else:
    main()
