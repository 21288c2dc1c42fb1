"""A worker's signal handlers are called at once, also where the signal does not interrupt the main thread."""

import subprocess
import sys
import time

import pytest

PROGRAM = """
import os, signal, sys, threading, time
from canvas.worker.signal_handlers import handle, put_back

def stop(number, frame):
    print("stopped", flush=True)
    os._exit(7)

handle({{signal.SIGQUIT: stop}})
{more}
def receive():
    # The handler in C runs in this thread: the main thread's sleep is not interrupted.
    time.sleep(0.3)
    signal.pthread_kill(threading.get_ident(), signal.SIGQUIT)
    time.sleep(60)

threading.Thread(target=receive, daemon=True).start()
time.sleep(60)
"""
IN_A_FORK = """
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
handle({signal.SIGQUIT: stop})
"""


@pytest.mark.parametrize("more", ["", IN_A_FORK], ids=["process", "forked process"])
def test_a_signal_that_another_thread_receives_is_handled_at_once(more):
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(more=more)], capture_output=True, text=True, timeout=90)
    assert (done.returncode, done.stdout) == (7, "stopped\n"), done.stderr
    assert time.monotonic() - began < 50


def test_nothing_of_it_is_left_once_the_handlers_are_put_back():
    program = """
import os, signal, threading, time
from canvas.worker.signal_handlers import handle, put_back
before = sorted(os.listdir("/proc/self/fd"))
handle({signal.SIGQUIT: print})
handle({signal.SIGTERM: print})
put_back()
assert signal.getsignal(signal.SIGURG) is signal.SIG_DFL
assert signal.set_wakeup_fd(-1) == -1
until = time.monotonic() + 30
while (threading.active_count() > 1 or sorted(os.listdir("/proc/self/fd")) != before) and time.monotonic() < until:
    time.sleep(0.01)
assert (threading.active_count(), sorted(os.listdir("/proc/self/fd"))) == (1, before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
