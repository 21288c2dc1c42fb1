"""Tasks that ask for a retry, or are retried for their error."""

import os
import time

from tests.support.tasks.kit import Kit


def define(kit: Kit):
    exceptions, ledger, task, note = kit.exceptions, kit.ledger, kit.task, kit.note

    @task(name="t.traced_twice", bind=True, max_retries=5)
    def traced_twice(self, value, key):
        note(key, f"{self.request.id}.{self.request.retries} {os.getpid()} {time.time():.3f}")
        if self.request.retries < 2:
            raise self.retry(countdown=0.1)
        return value + 1

    @task(name="t.flaky", bind=True, max_retries=5)
    def flaky(self, times):
        if self.request.retries < times:
            raise self.retry(countdown=0.1, exc=RuntimeError("again"))
        return self.request.retries

    @task(name="t.retried_once", bind=True)
    def retried_once(self, seconds, value):
        if not self.request.retries:
            raise self.retry(countdown=seconds, exc=RuntimeError("again"))
        return value

    @task(name="t.retry_beside", bind=True)
    def retry_beside(self, key):
        note(key, self.request.retries)
        if self.request.retries == 0:
            self.retry(throw=False, countdown=0)
        return "done"

    @task(name="t.retry_raised", bind=True)
    def retry_raised(self, key):
        note(key, self.request.retries)
        if self.request.retries == 0:
            raise self.retry(throw=False, countdown=0)
        return "done"

    @task(name="t.retry_returned", bind=True)
    def retry_returned(self):
        return self.retry(throw=False, countdown=0) if self.request.retries == 0 else "again"

    @task(name="t.retry_for", bind=True, max_retries=1)
    def retry_for(self, how, key):
        note(key, self.request.retries)
        if how == "without self.retry":
            raise exceptions.Retry("by itself")
        raise self.retry(
            exc={"text": "words", "class": LookupError, "exception": LookupError("given")}[how], countdown=0
        )

    @task(name="t.stamps_after_retry", bind=True)
    def stamps_after_retry(self):
        if self.request.retries == 0:
            raise self.retry(countdown=0)
        return self.request.stamps

    @task(name="t.auto", bind=True, autoretry_for=(KeyError,), retry_kwargs={"max_retries": 3, "countdown": 0})
    def auto(self, failures, key):
        note(key, str(self.request.retries))
        if self.request.retries < failures:
            raise KeyError("again")
        return self.request.retries

    @task(name="t.auto_item", autoretry_for=(KeyError,), retry_kwargs={"max_retries": 2, "countdown": 0})
    def auto_item(item, calls, key):
        note(key, str(item))
        if ledger.llen(f"ledger:{key}") < calls:
            raise KeyError("again")
        return item

    @task(name="t.auto_not", autoretry_for=(LookupError,), dont_autoretry_for=(KeyError,))
    def auto_not(key):
        note(key)
        raise KeyError("never again")
