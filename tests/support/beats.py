"""A program that runs beat and kills itself at a chosen instant: ``python -m tests.support.beats BROKER BACKEND [INSTANT N]``.

The instants are ``claiming`` (before the write that claims a tick), ``claimed`` (after it) and ``sent``. With
``SCHEDULER`` in the environment beat runs the entries of that scheduler; those of Django are in ``DATABASE``. Sentinels
know its servers as ``MASTER``. With ``LEDGER``, a Redis URL, each run of a task is noted there under ``ledger:`` and
``LEDGER_KEY``. ``APP_DIE_IN`` is that of ``tests.support.interventions``.
SIGUSR1 sets the clock of the process an hour ahead, SIGUSR2 two hours back.
"""

import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta

import redis

from canvas import Canvas, chord
from canvas.beat.sources import service_of
from canvas.telemetry import attach
from tests.support.interventions import intervene


def make_app(broker, backend, master=""):
    """``master``: the name under which sentinels know the servers of both URLs."""
    options = {"master_name": master} if master else {}
    app = Canvas(
        "beats", broker=broker, backend=backend, broker_transport_options=options,
        result_backend_transport_options=options,
    )  # fmt: skip
    add = app.task(noted(lambda x, y: x + y), name="add", bind=True)
    total = app.task(noted(sum), name="total", bind=True)

    def flow():
        made = app.Workflow("flow")
        made.add(total.s([made.add(add.s(1, 2)), made.add(add.s(3, 4))]))
        return made

    app.conf.beat_schedule = {
        "task": {"task": "add", "schedule": 0.05, "args": (1, 1)},
        "chord": {"task": chord([add.s(1, 2), add.s(3, 4)], total.s()), "schedule": 0.2},
        "flow": {"task": flow, "schedule": 0.3},
    }
    return app


def noted(fun):
    """A bound task of a function; with ``LEDGER`` each of its runs is noted."""
    ledger = redis.Redis.from_url(os.environ["LEDGER"]) if "LEDGER" in os.environ else None

    def run(self, *args):
        if ledger is not None:
            ledger.rpush(f"ledger:{os.environ['LEDGER_KEY']}", f"{self.request.id} {os.getpid()} {time.time():.3f}")
        return fun(*args)

    return run


def kill_at(instant, number):
    """SIGKILL this process at the ``number``-th time of an instant."""
    left = [number]

    def count(**_):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    attach(count, f"beat.{instant}")


def jump(seconds):
    """Set the clock of this process."""
    import time_machine

    time_machine.travel(datetime.now(UTC) + timedelta(seconds=seconds)).start()


if __name__ == "__main__":
    if "DATABASE" in os.environ:
        from tests.support.django_beats import configure

        configure(os.environ["DATABASE"])
    app = make_app(*sys.argv[1:3], os.environ.get("MASTER", ""))
    if "DATABASE" in os.environ:
        app.conf.beat_schedule = {}
    service = service_of(app, os.environ.get("SCHEDULER", ""))
    if len(sys.argv) > 3:
        kill_at(sys.argv[3], int(sys.argv[4]))
    intervene()
    signal.signal(signal.SIGTERM, lambda *_: service.stop())
    for number, seconds in ((signal.SIGUSR1, 3600), (signal.SIGUSR2, -7200)):
        signal.signal(number, lambda *_, seconds=seconds: jump(seconds))
    service.start()
