"""What the environment does to a test's worker: signals are noted, the clock is wrong, or the worker is killed."""

import datetime
import importlib
import itertools
import json
import os

import redis

SIGNALS = (
    "task_received", "task_prerun", "task_postrun", "task_success", "task_failure", "task_retry", "task_revoked", "task_rejected",
    "worker_init", "worker_ready", "worker_shutting_down", "worker_shutdown", "celeryd_init", "celeryd_after_setup",
    "worker_process_init", "import_modules", "heartbeat_sent", "after_setup_logger", "after_setup_task_logger",
)  # fmt: skip


def note_signals(signals, ledger):
    """Every signal of a worker, as a line of the ledger."""

    def noted(name):
        def receive(sender=None, **arguments):
            given = {key for key in arguments if key != "signal"}
            about = arguments.get("state") or arguments.get("signum") or getattr(sender, "name", "")
            ledger.rpush("ledger:signals", json.dumps([name, about, sorted(given)]))

        return receive

    for name in SIGNALS:
        getattr(signals, name).connect(noted(name), weak=False)


def die_at(event, count):
    """Kill the whole worker at the how manieth such event of canvas' telemetry in one of its processes."""
    from canvas.telemetry import attach

    numbers = itertools.count(1)
    attach(lambda **facts: next(numbers) == int(count) and os.killpg(0, 9), event)


def die_in(module, method, when, count):
    """Kill the whole worker at the how manieth call of a method, ``Class.method``, in one of its processes: before the
    call has its effect, or after it."""
    name, method = method.split(".")
    owner = getattr(importlib.import_module(module), name)
    whole, numbers = getattr(owner, method), itertools.count(1)

    def dying(*args, **kwargs):
        last = next(numbers) == int(count)
        result = whole(*args, **kwargs) if when == "after" or not last else None
        if last:
            os.killpg(0, 9)
        return result

    setattr(owner, method, dying)


def intervene() -> None:
    """``APP_SIGNALS``, ``APP_CLOCK_OFF`` (seconds), ``APP_RENEWED_EVERY`` (seconds), ``APP_DIE_AT`` (``EVENT:N``),
    ``APP_DIE_IN`` (``MODULE:CLASS.METHOD:before|after:N``)."""
    if "APP_SIGNALS" in os.environ:
        signals = importlib.import_module(os.environ["APP_LIBRARY"] + ".signals")
        note_signals(signals, redis.Redis.from_url(os.environ["APP_LEDGER"]))
    if "APP_CLOCK_OFF" in os.environ:
        import time_machine

        wrong_by = datetime.timedelta(seconds=float(os.environ["APP_CLOCK_OFF"]))
        time_machine.travel(datetime.datetime.now(datetime.UTC) + wrong_by).start()
    if "APP_RENEWED_EVERY" in os.environ:
        from canvas.worker.consumer import lifetimes
        from canvas.workflows.steps import waits

        waits.TIMER_LASTS = lifetimes.WAITS_EVERY = float(os.environ["APP_RENEWED_EVERY"])
    if "APP_DIE_AT" in os.environ:
        die_at(*os.environ["APP_DIE_AT"].split(":"))
    if "APP_DIE_IN" in os.environ:
        die_in(*os.environ["APP_DIE_IN"].split(":"))
