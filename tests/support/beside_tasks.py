"""What an application does beside its tasks, as the environment asks for it: helpers, hooks, and failures."""

import logging
import os
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

from canvas.exceptions import WorkerTerminate
from canvas.signals import worker_process_init, worker_ready


@worker_process_init.connect
def hang_once(**_):
    flag = os.environ.get("HANG_ONCE")
    if flag and os.path.exists(flag):
        os.unlink(flag)
        time.sleep(600)


def hold():
    deadline = time.monotonic() + 60
    while os.path.exists(os.environ["HOLDS_FORKS"]) and time.monotonic() < deadline:
        time.sleep(0.02)


def chatter():
    while True:
        logging.getLogger("chatter").info("tick " + "x" * 200)
        time.sleep(0.0005)


def help_out():
    for _ in range(3):
        helper = subprocess.Popen(["sh", "-c", "exit 3"])
        time.sleep(0.5)  # the worker looks at its own processes meanwhile
        with open(os.environ["HELPERS"], "a") as file:
            file.write(f"{helper.wait()} ")


def reap_all():
    while True:
        with suppress(ChildProcessError):
            os.waitpid(-1, 0)
        time.sleep(0.01)


def fail_for(seconds, name):
    """Have the function of ``os`` fail for some seconds."""
    real, until = getattr(os, name), time.monotonic() + seconds

    def failing(*args):
        if time.monotonic() < until:
            raise OSError("out of order")
        return real(*args)

    setattr(os, name, failing)


@worker_ready.connect
def fail_when_busy(**_):
    """Fail in the node's main process, which looks for ended children, once a task runs. ``FAILS``: the name of an
    exception, and the task's file."""
    if "FAILS" in os.environ:
        name, busy = os.environ["FAILS"].split(":")
        real = os.waitpid

        def waitpid(*args):
            if not Path(busy).exists():
                return real(*args)
            os.waitpid = real
            if "NO_WAITPID" in os.environ:
                fail_for(float(os.environ["NO_WAITPID"]), "waitpid")
            raise {"SystemExit": SystemExit, "WorkerTerminate": WorkerTerminate}[name](7)

        os.waitpid = waitpid


@worker_ready.connect
def run_beside(**_):
    threads = [chatter] * int(os.environ.get("CHATTER", "0"))
    threads += [help_out] * ("HELPERS" in os.environ) + [reap_all] * ("REAPS_ALL" in os.environ)
    for target in threads:
        threading.Thread(target=target, daemon=True).start()


if "HOLDS_FORKS" in os.environ:
    os.register_at_fork(after_in_child=hold)
