"""An app whose tasks start processes, for real workers."""

import asyncio
import multiprocessing
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path

from canvas import Canvas
from canvas.testing.contract import eventually
from tests.support import beside_tasks  # noqa: F401 - what it does, it does when it is imported

app = Canvas("forking", broker=os.environ.get("APP_BROKER"), backend=os.environ.get("APP_BACKEND"))
fork = multiprocessing.get_context("fork")
HANDLED = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT, signal.SIGUSR1)


def nap(seconds):
    time.sleep(seconds)


def square(number):
    return number * number


def answer(pipe, call, *arguments):
    pipe.send(call(*arguments))


def in_fork(call, *arguments):
    """What a function returns in a forked process."""
    ours, theirs = fork.Pipe()
    process = fork.Process(target=answer, args=(theirs, call, *arguments))
    process.start()
    found = ours.recv() if ours.poll(20) else "no answer"
    process.kill() if found == "no answer" else process.join(20)
    return found


def handlers():
    return [repr(signal.getsignal(number)) for number in HANDLED]


def redis_sockets(port):
    """How many files of this process are connections to that port."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                with socket.socket(fileno=os.dup(int(name))) as copy:
                    found += copy.family == socket.AF_INET and copy.getpeername()[1] == port
    return found


@app.task
def handlers_in_fork():
    return in_fork(handlers)


@app.task
def handlers_here():
    return handlers()


@app.task
def sockets_in_fork(port):
    return [redis_sockets(port) > 0, in_fork(redis_sockets, port)]


def send_identity(value):
    return identity.delay(value).id


@app.task
def sent_in_fork(value):
    return in_fork(send_identity, value)


@app.task
def identity(value):
    return value


@app.task
def ended_by(number):
    """The exit code of a forked process that gets a signal."""
    process = fork.Process(target=nap, args=(600,), daemon=True)
    process.start()
    os.kill(process.pid, number)
    process.join(60)
    code = process.exitcode
    process.kill()
    return code


@app.task
def ended_well():
    """The exit code of a forked process whose function returns."""
    process = fork.Process(target=square, args=(2,))
    process.start()
    process.join(20)
    return process.exitcode


@app.task
def program_ended_by(number):
    """The exit code of another program that gets a signal."""
    program = subprocess.Popen(["sleep", "600"])
    program.send_signal(number)
    try:
        return program.wait(60)
    finally:
        program.kill()


def fork_that_comes_back(how):
    """How a copy of this process ends that leaves its task's function so; in the copy the function does it."""
    copy = os.fork()
    if not copy:
        match how:
            case "raises":
                raise ValueError("in the copy")
            case "exits":
                sys.exit(6)
            case "exits with text":
                sys.exit("in the copy")
            case "retries":
                raise coming_back.retry(countdown=0)
        return "from the copy"
    deadline = time.monotonic() + 20
    while not (found := os.waitpid(copy, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(copy, signal.SIGKILL)
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(found[1])


@app.task
def coming_back(how):
    return fork_that_comes_back(how)


@app.task(time_limit=60, soft_time_limit=50)
def coming_back_in_time(how):
    return fork_that_comes_back(how)


@app.task
async def coming_back_on_loop(how):
    return fork_that_comes_back(how)


@app.task
def mapped():
    with fork.Pool(2) as pool:
        return pool.map(square, range(4))


@app.task
def executed():
    with ProcessPoolExecutor(2, mp_context=fork) as executor:
        return list(executor.map(square, range(4)))


@app.task
def spawned():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.map(square, range(4))


@app.task
def impatient():
    try:
        with fork.Pool(2) as pool:
            pool.map_async(nap, [60, 60]).get(timeout=0.2)
    except multiprocessing.TimeoutError:
        return "timed out"


def note_pid(folder, name):
    Path(folder, name).write_text(str(os.getpid()))


def nap_noted(folder, name):
    note_pid(folder, name)
    nap(600)


@app.task
def napping(folder):
    nap_noted(folder, "napping")


@app.task
def in_c_code(folder):
    """Holds the interpreter."""
    note_pid(folder, "in_c_code")
    re.match(r"(a+)+$", "a" * 60 + "b")


@app.task
def waiting_for_a_thread(folder):
    note_pid(folder, "waiting_for_a_thread")
    thread = threading.Thread(target=nap, args=(600,))
    thread.start()
    thread.join()


@app.task
def leaving_a_daemon(folder):
    """Return while a daemonic process runs on."""
    process = fork.Process(target=nap_noted, args=(folder, "left"), daemon=True)
    process.start()
    eventually(Path(folder, "left").exists)


@app.task
def mapping(folder):
    """Wait for a pool whose process does not end."""
    with fork.Pool(1) as pool:
        pool.starmap(nap_noted, [(folder, "mapped")])


@app.task(time_limit=0.5)
def mapping_too_long(folder):
    with fork.Pool(1) as pool:
        pool.starmap(nap_noted, [(folder, "mapped_too_long")])


@app.task
async def on_thread(value):
    return await asyncio.to_thread(square, value)


@app.task
def raw_say(text):
    """Leave text in the buffer of the process's own standard output."""
    sys.__stdout__.write(text)


@app.task
def borrow_stdout(path):
    with open(path, "w") as sys.stdout:
        print("hello")


@app.task
def replace_stdout():
    sys.stdout = object()


@app.task
def open_outputs():
    """Whether standard output can be written, by Python and by other programs."""
    print("hello")
    return [os.fstat(1).st_mode != 0, subprocess.run(["echo", "hello"], check=False).returncode]


@app.task
def process_id():
    return os.getpid()


@app.task
def wait_for_file(path):
    deadline = time.monotonic() + 60
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} was not made in 60 s")
        time.sleep(0.02)


@app.task
def opened_later(begun, gate):
    """Runs until the file ``gate`` is there; ``begun`` gets a line each time that it begins."""
    with open(begun, "a") as lines:
        lines.write("begun\n")
    eventually(Path(gate).exists, 60)
