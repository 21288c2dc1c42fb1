"""The user of the page on security that a worker needs, with the changes that the page names for a cluster."""

import re

import pytest

from canvas import group
from canvas.testing.contract import eventually
from tests.chaos.workload import workload
from tests.support.apps import make
from tests.support.processes import WorkerProcess
from tests.worker.commands import named, task
from tests.worker.test_security import PAGE, rules, waits

CHANGES = re.search(r"<!-- acl: cluster -->\n```\n(.*?)```", PAGE.read_text(), re.DOTALL)[1].split()


def rules_in_a_cluster(server):
    """The page's line for workers: a hash tag stands before each key and channel, and some rights are added."""
    return [*(re.sub(r"^([~&])", r"\1{*}:", word) for word in rules("worker", server)), *CHANGES]


@pytest.fixture
def limited(cluster):
    """The URL with which that user logs in to the cluster."""
    line = rules_in_a_cluster(cluster.masters[0])
    for node in cluster.masters:
        node.client().execute_command(*line)
        node.client().acl_log_reset()
    yield cluster.url().replace("://", "://worker:change-me@")
    for node in cluster.masters:
        node.client().execute_command("ACL", "DELUSER", "worker")


def test_workers_need_the_rights_that_the_page_names(bench, cluster, limited):
    url, ledger = limited, bench.urls()[2]
    app, key = make("canvas", url, url, ledger=ledger), bench.new_key()
    with WorkerProcess("canvas", url, url, "-P", "threads", "-c", "4", "-E", ledger=ledger, short_leases=1) as worker:
        sent = workload(app, key, 1)
        flow = app.Workflow("flow")
        many = flow.map(task(app, "ident").s(), over=flow.add(task(app, "upto").s(3)))
        named(app, flow, "end", many)
        run, waiting = flow.apply_async(), waits(app).apply_async()
        assert [result.get(timeout=60) for result, _ in sent] == [value for _, value in sent]
        assert run.get(timeout=60) == ["end", [[0, 1, 2]], {}]
        waiting.signal("go", 2)
        assert waiting.get(timeout=60) == [5, 5]
        bench.open(key)
        for call in (task(app, "one_of_two").s("a", key), task(app, "unique").s("a", key)):
            call.delay().get(timeout=30)
        task(app, "paced_everywhere").delay(key).get(timeout=30)
        saved = group(task(app, "ident").s(1), task(app, "ident").s(2)).apply_async()
        saved.save()
        assert app.GroupResult.restore(saved.id).get(timeout=30) == [1, 2]
        app.control.revoke(task(app, "add").apply_async((1, 1), countdown=60).id)
        assert app.control.ping(timeout=20, limit=1)
        eventually(lambda: app.driver.admin.queue_length("celery") == 0)
        worker.stop()
    app.close()
    assert [entry for node in cluster.masters for entry in node.client().acl_log()] == []
