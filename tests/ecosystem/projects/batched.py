"""Clicks of visitors, which are counted many at a time."""

import os
from pathlib import Path

from celery import Celery, signals
from celery_batches import Batches

app = Celery("batched", broker=os.environ["BROKER"], backend=os.environ["RESULTS"])
FOLDER = Path(os.environ["FOLDER"])


def note(line):
    with (FOLDER / "notes").open("a") as notes:
        notes.write(f"{line}\n")


@app.task(base=Batches, flush_every=10, flush_interval=1, acks_late=True)
def count(requests):
    numbers = sorted(request.args[0] for request in requests)
    note(f"count {numbers}")
    for request in requests:
        app.backend.mark_as_done(request.id, request.args[0] + request.kwargs.get("more", 0), request=request)


@app.task(base=Batches, flush_every=3, flush_interval=600, acks_late=True)
def rare(requests):
    note(f"rare {sorted(request.args[0] for request in requests)}")


@app.task(base=Batches, flush_every=2, flush_interval=600)
def fails(requests):
    raise ValueError("the shelf is full")


@app.task
def plain(number):
    return number


@signals.task_postrun.connect(sender=count)
def ended(task_id, args, state, **_):
    note(f"postrun {len(args[0])} {state}")
