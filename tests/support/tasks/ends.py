"""Tasks that end otherwise than with a value, and callbacks for errors."""

import os
import sys

from tests.support.tasks.kit import Kit


def define(kit: Kit):
    app, exceptions, task, note = kit.app, kit.exceptions, kit.task, kit.note

    @task(name="t.suicidal")
    def suicidal(key):
        note(key, "ran")
        os.kill(os.getpid(), 9)

    @task(name="t.suicidal_early", acks_late=False)
    def suicidal_early(key):
        note(key, "ran")
        os.kill(os.getpid(), 9)

    @task(name="t.suicidal_once", acks_late=True, reject_on_worker_lost=False)
    def suicidal_once(key):
        note(key, "ran")
        os.kill(os.getpid(), 9)

    @task(name="t.ignored")
    def ignored():
        raise exceptions.Ignore()

    @task(name="t.rejected")
    def rejected():
        raise exceptions.Reject("no thanks", requeue=False)

    @task(name="t.errback_by_id")
    def errback_by_id(task_id, key):
        note(key, task_id)

    @task(name="t.errback_by_request")
    def errback_by_request(request, exc, traceback, key):
        note(key, f"{request.id}|{type(exc).__name__}")

    @task(name="t.errback_that_looks")
    def errback_that_looks(request, exc, traceback, key):
        note(key, app.AsyncResult(request.id).state)

    @task(name="t.exit_as_errback")
    def exit_as_errback(request, exc, traceback):
        sys.exit(4)
