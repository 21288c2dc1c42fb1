"""A worker imports what its tasks need before it starts them."""

import pytest

from canvas import Canvas, Workflow, chain, chord
from tests.worker.program_processes import project_worker

PROJECT = """
import os
import sys

from canvas import Canvas
from canvas.signals import worker_process_init, worker_ready

app = Canvas("project", broker=os.environ["APP_BROKER"], backend=os.environ["APP_BACKEND"])
before = set()


@worker_ready.connect
@worker_process_init.connect
def ready(**_):
    before.update(sys.modules)


@app.task(name="add")
def add(x, y):
    return x + y


@app.task(name="total")
def total(values):
    return sum(values)


@app.task(name="again", bind=True)
def again(self):
    if not self.request.retries:
        raise self.retry(countdown=0)
    return 0


@app.task(name="fails")
def fails():
    raise ValueError("no")


@app.task(name="replaced", bind=True)
def replaced(self):
    raise self.replace(add.s(1, 1))


@app.task(name="imported")
def imported():
    return sorted(name for name in sys.modules if name not in before and not name.startswith("encodings."))
"""


@pytest.fixture
def app(bench):
    broker, backend, _ = bench.urls()
    with Canvas("client", broker=broker, backend=backend, set_as_current=False) as app:
        yield app


@pytest.mark.parametrize("pool", ["solo", "prefork"])
def test_tasks_of_a_worker_import_no_module_that_they_do_not_name(bench, app, tmp_path, pool):
    add = app.signature("add", (1, 1))
    with project_worker(bench, tmp_path, PROJECT, "-P", pool, "-c", "1"):
        results = [
            add.apply_async(countdown=0.01),
            chain(add, app.signature("add", (1,))).delay(),
            chord([add, add], app.signature("total")).delay(),
            *(app.send_task(name) for name in ("again", "replaced", "fails")),
        ]
        flow = Workflow("flow", app)
        first = flow.add(add)
        flow.add(app.signature("add", (first, first)), after=flow.sleep(0.01))
        results.append(flow.apply_async())
        assert [repr(result.get(timeout=30, propagate=False)) for result in results] == [
            *("2", "3", "4", "0", "2"), "ValueError('no')", "4",
        ]  # fmt: skip
        assert app.send_task("imported").get(timeout=20) == []
