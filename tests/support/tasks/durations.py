"""Tasks that last for a time or until the test opens them, and one that is paced."""

import ctypes
import re
import time

from tests.support.tasks.kit import Kit


def define(kit: Kit):
    exceptions, task, note = kit.exceptions, kit.task, kit.note
    is_open, wait_until_open = kit.is_open, kit.wait_until_open

    @task(name="t.slow_step")
    def slow_step(seconds, key, name, *args):
        note(key, name)
        time.sleep(seconds)
        return name

    @task(name="t.gated")
    def gated(*args, key):
        note(key, repr(args))
        if not is_open(key):
            raise ValueError("closed")
        return list(args)

    @task(name="t.needs_gate")
    def needs_gate(item, counts, key):
        note(counts, repr(item))
        if item in (2, [3]) and not is_open(key):
            raise ValueError("closed")
        return item

    @task(name="t.gated_above")
    def gated_above(value, gate):
        if not is_open(gate):
            raise ValueError("closed")
        return True

    @task(name="t.sleep")
    def sleep(seconds, value=None):
        time.sleep(seconds)
        return value

    @task(name="t.hold")
    def hold(seconds):
        """Keep the interpreter for so long: a function of C that does not release its lock."""
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))

    @task(name="t.slow_then", bind=True)
    def slow_then(self, seconds, key):
        note(key, "start")
        time.sleep(seconds)
        note(key, "end")
        return key

    @task(name="t.until_open")
    def until_open(key):
        note(key, "start")
        wait_until_open(key)
        note(key, "end")
        return key

    @task(name="t.held_item")
    def held_item(item, key, held):
        note(key, repr(item))
        if item == held:
            wait_until_open(key)
        return item

    @task(name="t.page_of")
    def page_of(cursor, items, size, key):
        """A page of the numbers below ``items``, which notes where it began."""
        begin = cursor or 0
        note(key, begin)
        after = begin + size if begin + size < items else None
        return {"items": list(range(begin, min(items, begin + size))), "next": after}

    @task(name="t.paused")
    def paused(item, key):
        note(key, "start")
        time.sleep(0.01)
        note(key, "end")
        return item

    @task(name="t.patient", bind=True)
    def patient(self, seconds, key):
        try:
            time.sleep(seconds)
        except exceptions.SoftTimeLimitExceeded:
            note(key, "soft")
            return "cut short"
        return "whole"

    @task(name="t.busy")
    def busy(seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            sum(range(100))
        return "whole"

    @task(name="t.paced", rate_limit="5/s")
    def paced(key):
        note(key, repr(time.time()))

    @task(name="t.stuck")
    def stuck(key):
        note(key)
        # One call into C that lets no other Python code run.
        re.match("(a+)+$", "a" * 60 + "b")
