"""Tasks that report their request: ids, parents, options, state."""

import os
import time

from tests.support.tasks.kit import Kit


def define(kit: Kit):
    app, task, note = kit.app, kit.task, kit.note

    @task(name="t.traced", bind=True)
    def traced(self, value, key):
        note(key, f"{self.request.id} {os.getpid()} {time.time():.3f}")
        time.sleep(0.005)
        return (sum(value) if isinstance(value, list) else value) + 1

    @task(name="t.inner", bind=True, max_retries=2)
    def inner(self, value):
        if value == "retry":
            raise self.retry(exc=ValueError("inner"), countdown=0)
        request = self.request
        return [value, request.id, request.called_directly, request.retries, list(request.args or ())]

    @task(name="t.outer", bind=True)
    def outer(self, value, key):
        note(key, "outer")
        return [inner(value), self.request.id is not None, self.request.called_directly]

    @task(name="t.again", bind=True)
    def again(self, depth):
        about = [self.request.id is not None, self.request.called_directly, list(self.request.args)]
        return [about, *(self(depth - 1) if depth else [])]

    @task(name="t.where", bind=True)
    def where(self, *args):
        return {
            "library": type(app).__module__.split(".")[0],
            "id": self.request.id,
            "root_id": self.request.root_id,
            "parent_id": self.request.parent_id,
            "group": self.request.group,
            "hostname": self.request.hostname,
        }

    @task(name="t.context", bind=True)
    def context(self, *args):
        request = self.request
        names = ("id", "root_id", "parent_id", "group", "group_index", "replaced_task_nesting", "stamps")
        return {name: getattr(request, name) for name in names}

    @task(name="t.priority", bind=True)
    def priority(self, *args):
        return self.request.properties["priority"] if hasattr(self.request, "properties") else None

    @task(name="t.options", bind=True)
    def options(self):
        request = self.request
        found = {name: getattr(request, name) for name in ("shadow", "timelimit", "expires", "mine")}
        return {**found, "priority": request.delivery_info["priority"]}

    @task(name="t.sends", bind=True)
    def sends(self, value):
        app.tasks["t.where"].delay(value)
        return "sent"

    @task(name="t.progress", bind=True)
    def progress(self, key):
        self.update_state(state="PROGRESS", meta={"done": 1})
        note(key, app.AsyncResult(self.request.id).state)
        return "done"

    @task(name="t.tracked", bind=True, track_started=True)
    def tracked(self, key):
        note(key, app.AsyncResult(self.request.id).state)

    @task(name="t.clocked")
    def clocked(key):
        note(key, repr(time.time()))
