"""Tasks with rates, limits of concurrency, and locks."""

import os
import time

from tests.support.tasks.kit import Kit


def define(kit: Kit):
    task, note, wait_until_open = kit.task, kit.note, kit.wait_until_open

    @task(name="t.paced_everywhere", rate_limit="5/s", rate_limit_scope="global")
    def paced_everywhere(key):
        note(key, repr(time.time()))

    @task(name="t.one_of_two", concurrency_limit=2, concurrency_key=["account"])
    def one_of_two(account, key):
        note(key, f"+{account}")
        wait_until_open(key)
        note(key, f"-{account}")

    @task(name="t.alone", concurrency_limit=1)
    def alone(key, die=False):
        note(key, "start")
        if die:
            os.kill(os.getpid(), 9)
        note(key, "end")

    @task(name="t.unique", unique_for=60, unique_key=["name"])
    def unique(name, key, fails=False):
        note(key)
        if fails:
            raise ValueError(name)

    @task(name="t.placed", concurrency_limit=1, concurrency_key=lambda name, key: name.lower())
    def placed(name, key):
        note(key)

    @task(name="t.emptying", unique_for=60, concurrency_limit=1, concurrency_key=["items"])
    def emptying(items):
        items.clear()

    @task(name="t.unique_of", unique_for=60, unique_key=lambda items: items[0])
    def unique_of(items):
        return items

    @task(name="t.unique_until_start", unique_for=60, unique_until="start", unique_conflict="raise")
    def unique_until_start(key):
        note(key, "start")
        time.sleep(0.5)

    @task(name="t.unique_until_success", unique_for=60, unique_until="success", unique_key=lambda name, **_: name)
    def unique_until_success(name, fails=False):
        if fails:
            raise ValueError(name)

    @task(name="t.unique_retried", bind=True, unique_for=60, max_retries=1)
    def unique_retried(self, key):
        if self.request.retries == 0:
            raise self.retry(countdown=0)
        wait_until_open(key)

    @task(name="t.unique_for_a_moment", unique_for=0.2, unique_until="expiry")
    def unique_for_a_moment():
        return None
