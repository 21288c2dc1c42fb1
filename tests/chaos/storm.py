"""Workers that are killed, stopped and cut off again and again while a block runs. Repeatable by its seed."""

import os
import random
import signal
import threading
import time

from tests.support.process_signals import kill, resume, suspend
from tests.support.processes import members
from tests.worker.commands import start

_READY_WITHIN, _STOPS_WITHIN = 180, 60
"""Seconds; a machine may be busy with other things."""
POOLS = (("-P", "solo"), ("-P", "prefork", "-c", "2"), ("-P", "threads", "-c", "3"), ("-P", "asyncio", "-c", "10"))


class Storm:
    """A fleet of one worker of each pool. ``how`` names what happens to them: see the methods that begin with ``_do``."""

    def __init__(self, bench, seed, how, pause=0.5, **settings):
        self._random = random.Random(seed)
        self._bench = bench
        self._how = how
        self._pause = pause
        self._settings = {"short_leases": 1, **settings}
        self.started = []
        """All workers that it has started."""
        self._fleet = {pool: self._start(pool) for pool in POOLS}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._blow, daemon=True)
        self._failure = None
        self.jumps = []
        """Times at which this process stood still, with the seconds, by the monotonic clock and the time of day."""
        self.blows = 0
        self.killed = set()
        """Processes that did not live to settle what they ran."""
        self.log = []
        """What was done, and when."""

    def _start(self, pool):
        worker = start(self._bench, *pool, "-n", f"{pool[1]}@%h", **self._settings)
        self.started.append(worker)
        return worker

    def _ready(self, pool):
        """The worker of that pool that is to live now, once it has started."""
        return self._fleet[pool].wait_for(" ready.", _READY_WITHIN)

    def _all_ready(self):
        for pool in POOLS:
            self._ready(pool)

    @property
    def fleet(self):
        """The workers that are to live now."""
        return list(self._fleet.values())

    def calm(self):
        """End the storm; the workers live on."""
        self._over.set()
        self._thread.join(_READY_WITHIN + 20)
        self._all_ready()

    def logs(self):
        """What all workers have logged, those that were killed too."""
        return [f"-- worker {worker.process.pid}\n{''.join(worker.log)}" for worker in self.started]

    def _blow(self):
        try:
            pause = 0.0  # however soon the work is done, something happens to it
            while not self._over.wait(pause):
                pause = self._pause * self._random.uniform(0.5, 1.5)
                how, pool = self._random.choice(self._how), self._random.choice(POOLS)
                self.log.append(f"{time.time():.3f} {how} {pool[1]} {self._fleet[pool].process.pid}")
                getattr(self, f"_do_{how}")(pool)
                self.blows += 1
        except BaseException as exc:
            self._failure = exc
            raise

    def _do_kill(self, pool):
        """Kill a whole worker, and start another in its place."""
        worker = self._ready(pool)
        self.killed.update(members(worker.process.pid))
        os.killpg(worker.process.pid, signal.SIGKILL)
        worker.wait()
        self._fleet[pool] = self._start(pool)

    def _do_kill_child(self, pool):
        """Kill one child of the prefork pool; its parent starts another."""
        children = members(self._ready(POOLS[1]).process.pid)[1:]
        if children:
            child = self._random.choice(children)
            self.killed.add(child)
            kill(child)

    def _do_kill_parent(self, pool):
        """Kill the parent of the prefork pool alone."""
        worker = self._ready(POOLS[1])
        self.killed.update(members(worker.process.pid))
        worker.signal(signal.SIGKILL)
        worker.wait()
        self._fleet[POOLS[1]] = self._start(POOLS[1])

    def _do_stall(self, pool):
        """Stop a worker for longer than its leases last."""
        worker = self._ready(pool)
        self.killed.update(members(worker.process.pid))  # others run what it held, and its own end comes too late
        suspend(*members(worker.process.pid))
        self._over.wait(4)
        resume(*members(worker.process.pid))

    def _do_cut(self, pool):
        """Cut every connection of the server but the one that does."""
        self._bench.broker.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def _do_forget_scripts(self, pool):
        self._bench.broker.script_flush()

    def _do_restart(self, pool):
        """Stop a worker in good order, and start another."""
        self._ready(pool).stop(_STOPS_WITHIN)
        self._fleet[pool] = self._start(pool)

    def _watch_clocks(self):
        """Note where this process, and so most likely the others, got no processor for long."""
        before = time.monotonic(), time.time()
        while not self._over.wait(0.5):
            now = time.monotonic(), time.time()
            took = tuple(round(later - earlier, 1) for later, earlier in zip(now, before, strict=True))
            if max(took) > 1.5 or min(took) < 0:
                self.jumps.append((round(now[1], 3), *took))
            before = now

    def __enter__(self):
        self._all_ready()
        self._thread.start()
        threading.Thread(target=self._watch_clocks, daemon=True).start()
        return self

    def __exit__(self, *exc):
        self._over.set()
        self._thread.join(_READY_WITHIN + 20)
        for pool in POOLS:
            self._ready(pool).stop(_STOPS_WITHIN)
        assert self._failure is None, self._failure
