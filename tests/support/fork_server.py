"""A process that has imported what a command needs, and forks for each command: ``python -m tests.support.fork_server
LIBRARY OWNER``.

Standard input is a socket (``SOCK_SEQPACKET``). Each message there is a request in JSON with four files: the command's
standard input, output and error, and a socket. The server writes the command's process id to that socket as soon as it
has forked, and the exit code (the negative number of the signal that killed it) once it has ended: C integers. The
server ends when its standard input ends, and when the process OWNER ends, however that ends. A fork of the owner may keep
the other end of the socket open, so the socket alone does not show that the owner is gone. Nothing can stop the commands
then, so the server kills them.

A fork becomes the command: it has the request's environment, folder, session and files, and the signal handlers of a
process that has just started, and it ends as any Python program does.
"""

import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import struct
import sys
import time
from contextlib import suppress

CODE = struct.Struct("i")
LONGEST = 1 << 20
"""Bytes of a request."""

COMMON = ("tests.support.models", "tests.support.odd", "redis", "encodings.idna", "importlib.readers")
PREPARED = {
    "canvas": (
        "canvas.cli.main", "canvas.cli.find_app", "canvas.cli.worker.command", "canvas.worker.node", "canvas.drivers.redis",
        "redis.asyncio",
    ),
    "celery": (
        "celery.bin.celery", "celery.bin.worker", "celery.apps.worker", "celery.backends.redis", "kombu.transport.redis",
        "celery.concurrency.prefork", "celery.concurrency.solo", "celery.concurrency.thread", "celery.worker.consumer",
        "celery.worker.consumer.agent", "celery.worker.consumer.control", "celery.worker.consumer.gossip",
        "celery.worker.consumer.heart", "kombu.pidbox", "kombu.matcher", "billiard.sharedctypes", "billiard.popen_fork",
        "cffi.cparser",
    ),
}  # fmt: skip
"""What a worker of each library imports."""


def serve(control, owner):
    """Fork for each request; return the request only in its fork, where it is to be fulfilled.

    ``owner`` is a descriptor of the process that the server works for.
    """
    running = {}
    woken, waker = socket.socketpair()
    for end in (woken, waker):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno())
    selector = selectors.DefaultSelector()
    for end in (woken, control, owner):
        selector.register(end, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is woken:
                woken.recv(4096)
                reap(running)
                continue
            message, files = b"", []
            if key.fileobj == control:
                message, files, _, _ = socket.recv_fds(control, LONGEST, 4)
            if not message:
                reap(running)
                kill(running)
                return None
            pid = os.fork()
            status = socket.socket(fileno=files.pop())
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                selector.close()
                os.close(owner)
                for end in (woken, waker, control, status, *running.values()):
                    end.close()
                return json.loads(message), files
            for file in files:
                os.close(file)
            running[pid] = status
            send(status, pid)
            # A child that ended before it was entered has woken the loop already.
            reap(running)


def reap(running):
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with running.pop(pid) as waiting:
            send(waiting, os.waitstatus_to_exitcode(status))


def kill(running):
    """End commands with all that they have started in their sessions."""
    for pid in running:
        with suppress(ProcessLookupError):
            if os.getsid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGKILL)


def send(status, number):
    with suppress(BrokenPipeError):  # the test has let go of its process
        status.send(CODE.pack(number))


def become(request, files):
    """Run the command of a request, in the fork that is for it."""
    if request["new_session"]:
        os.setsid()
    for target, file in enumerate(files):
        os.dup2(file, target)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    sys.argv[1:] = request["arguments"]
    sys.path[0] = request["folder"]
    importlib.invalidate_caches()
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def owner_of(pid):
    """A descriptor that is readable once process ``pid`` has ended; None if it is not this one's parent any more."""
    with suppress(ProcessLookupError):
        owner = os.pidfd_open(pid)
        if os.getppid() == pid:
            return owner
    return None


def main():
    owner = owner_of(int(sys.argv[2]))
    if owner is None:
        return
    for name in (*COMMON, *PREPARED[sys.argv[1]]):
        importlib.import_module(name)
    # No fork looks through, and so copies, what all of them have.
    gc.freeze()
    # A copy, so that no command finds the socket at its standard input.
    control = socket.socket(fileno=os.dup(0))
    request = serve(control, owner)
    if request is not None:
        become(*request)


if __name__ == "__main__":
    main()
