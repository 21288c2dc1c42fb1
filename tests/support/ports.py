"""Free ports of loopback for the servers of tests."""

import fcntl
import itertools
import os
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from random import Random

_FIRST, _BLOCKS, _PORTS = 12_000, 200, 100
"""They lie below the range from which the system takes the ports of outgoing connections."""
_blocks: dict[int, tuple[int, object]] = {}
"""By process: the first port of the block that it has locked, and the lock file."""
_offsets = itertools.cycle(Random().sample(range(_PORTS), _PORTS))
"""In a random order: a program that an earlier process has left may look for its server at a port of the same block."""


def free_port():
    """A port that nothing listens on, and that no other process is given: each locks a block of ports of its own."""
    first = _own_block()
    for _ in range(_PORTS):
        port = first + next(_offsets)
        with socket.socket() as found, suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(("127.0.0.1", port))
            return port
    raise AssertionError(f"ports {first} to {first + _PORTS - 1} are all taken")


def _own_block():
    known = _blocks.get(os.getpid())
    return known[0] if known else _locked_block()


def _locked_block():
    folder = Path(tempfile.gettempdir()) / f"canvas-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for number in range(_BLOCKS):
        block = (os.getpid() + number) % _BLOCKS
        lock = (folder / str(block)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _blocks[os.getpid()] = _FIRST + block * _PORTS, lock
        return _FIRST + block * _PORTS
    raise AssertionError(f"all {_BLOCKS} blocks of ports are locked by other processes")
