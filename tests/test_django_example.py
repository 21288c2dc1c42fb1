"""The Django project of docs/examples: started, and driven with a worker of its own."""

import json
import os
import subprocess
import sys

import pytest

from tests.test_web_examples import EXAMPLES

PROGRAM = """
import contextlib
import io
import json
import os
import time

os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
import django

django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command, execute_from_command_line
from django.db import transaction
from django.test import Client
from orders.models import Order
from orders.tasks import fulfil
from shop import app
from canvas.testing.worker import start_worker

call_command("migrate", run_syncdb=True, verbosity=0)
client = Client()
client.force_login(User.objects.create_superuser("ada"))


def runs(**query):
    page = client.get("/admin/orders/order/runs/", query)
    assert page.status_code == 200
    return [(order, run.state, sorted(node.state for node in run.nodes)) for order, run in page.context_data["runs"]]


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


before = runs()
with start_worker(app, pool="solo"):
    placed = client.post("/orders/", {"item": "tea"})
    number = placed.json()["id"]
    until(lambda: Order.objects.get(pk=number).confirmed)
    until(lambda: runs(state="SUCCESS"))
with contextlib.suppress(RuntimeError), transaction.atomic():
    order = Order.objects.create(item="never")
    transaction.on_commit(lambda: fulfil(order.pk))
    raise RuntimeError
page = client.get("/admin/orders/order/runs/").content.decode()
printed = io.StringIO()
with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
    execute_from_command_line(["manage.py", "canvas", "report"])
print(json.dumps({
    "before": before, "placed": placed.status_code, "runs": runs(), "failed": runs(state="FAILURE"),
    "of another": runs(order="77"), "page": "<td>SUCCESS</td>" in page and "confirm: SUCCESS" in page,
    "orders": list(Order.objects.values_list("item", flat=True)),
    "report": os.environ["REDIS_URL"] in printed.getvalue(),
}))
"""


@pytest.mark.timeout(180)
def test_a_shop_with_an_admin_page_of_runs(redis_server, tmp_path):
    redis_server.client().flushall()
    redis = redis_server.url(0).rpartition("/")[0]
    env = {**os.environ, "REDIS_URL": redis, "DATABASE": str(tmp_path / "shop.sqlite3")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=EXAMPLES / "web_django", env=env, capture_output=True, text=True,
        timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "before": [], "placed": 201, "runs": [["1", "SUCCESS", ["SUCCESS"] * 3]], "failed": [], "of another": [],
        "page": True, "orders": ["tea"], "report": True,
    }  # fmt: skip
