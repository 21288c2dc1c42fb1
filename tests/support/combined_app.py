"""An app whose workflows have one construct inside of another one, and what a plain evaluation makes of them."""

from collections import Counter
from threading import Lock
from typing import Any

from canvas import Canvas, Workflow
from tests.support.combined_workflows import BODIES, FRAMES, Plain, never, sig


class Combined:
    """An app with the tasks of the workflows; it counts what succeeds in it, by the run that it belongs to."""

    def __init__(self, broker: str, backend: str) -> None:
        self.app = Canvas("combined", broker=broker, backend=backend, set_as_current=False)
        self.ran: dict[str, Counter[Any]] = {}
        self.failing = ""
        """The task that fails the first time that it runs in a run."""
        self.waiting: set[str] = set()
        """The runs inside that wait for a signal, or soon will."""
        self._failed: set[tuple[str, str]] = set()
        self._lock = Lock()
        self._add_tasks()

    def note(self, task: Any, key: tuple[Any, ...]) -> None:
        """Count a success; fail instead if it is the first call of a task that is to fail."""
        run = task.app.current_worker_task.request.id.partition(".")[0]  # an item of a batch has no id of its own
        with self._lock:
            if self.failing == key[0] and (run, key[0]) not in self._failed:
                self._failed.add((run, key[0]))
                raise ValueError("the first time")
            self.ran.setdefault(run, Counter())[key] += 1

    def _add_tasks(self) -> None:
        task, note, waiting = self.app.task, self.note, self.waiting

        @task(name="c.more", bind=True, shared=False)
        def more(self, value):
            note(self, ("more", value))
            return value + 1

        @task(name="c.total", bind=True, shared=False)
        def total(self, values):
            note(self, ("total", sum(values)))
            return sum(values)

        @task(name="c.pair", bind=True, shared=False)
        def pair(self, value):
            note(self, ("pair", value))
            return [value, value + 1]

        @task(name="c.checked", bind=True, shared=False)
        def checked(self, value):
            note(self, ("checked", value))
            return value

        @task(name="c.asked", bind=True, shared=False)
        def asked(self, value):
            note(self, ("asked", value))
            waiting.add(self.request.id.rsplit(".", 2)[0])

        @task(name="c.above", bind=True, shared=False)
        def above(self, value, limit):
            note(self, ("above", value))
            return value > limit

        @task(name="c.last", bind=True, shared=False)
        def last(self, value):
            note(self, ("last", 0))
            return value

        for name in ("undo", "cleaned"):

            @task(name=f"c.{name}", bind=True, shared=False)
            def noted(self, value=0, name=name):
                note(self, (name, value))

        @task(name="c.page", shared=False)
        def page(cursor, pages):
            at = cursor or 0
            return {"items": [2 * at, 2 * at + 1], "next": at + 1 if at + 1 < pages else None}

        @task(name="c.grow", shared=False)
        def grow(x, body):
            return self.inside(body, x)

        @task(name="c.fails", shared=False)
        def fails():
            raise ValueError("always")

    def inside(self, body: str, x: int | None = None) -> Workflow:
        """The workflow with this body; its input ``x`` has a value where it is known."""
        flow = Workflow(f"inside {body}", self.app)
        given = flow.input("x") if x is None else flow.input("x", default=x)
        value = (never if body == "never" else BODIES[body].compose)(self.app, flow, given)
        undo = sig(self.app, "undo") if self.failing == "last" else None
        flow.add(sig(self.app, "checked", value), compensate=undo, name="checked")
        return flow

    def composed(self, frame: str, body: str) -> tuple[Workflow, str]:
        """The workflow of a frame around a body, and the name of the node in which the body runs."""
        flow = Workflow(f"{frame} of {body}", self.app)
        value = FRAMES[frame].compose(self.app, flow, lambda: self.inside(body), body)
        flow.add(sig(self.app, "last", value), name="last")
        flow.finally_(sig(self.app, "cleaned"), name="cleanup")
        holder = next(one for one in flow.entries if one.inner is not None or (one.sig or {}).get("task") == "c.grow")
        return flow, holder.name


def evaluated(frame: str, body: str) -> tuple[Any, Counter[Any]]:
    """The value of a frame around a body, and how often each task succeeds."""
    plain = Plain()
    value = FRAMES[frame].value(plain, lambda x: plain.checked(BODIES[body].value(plain, x)))
    plain.ran["last", 0] += 1
    return value, plain.ran
