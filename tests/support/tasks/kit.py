"""What the tasks of a test app are defined with."""

import time
from types import ModuleType
from typing import Any

import redis


class Kit:
    """An app, the exceptions of its library, and the server where its tasks leave notes."""

    def __init__(self, app: Any, exceptions: ModuleType, ledger: redis.Redis | None) -> None:
        self.app, self.exceptions, self.ledger = app, exceptions, ledger

    def task(self, **options: Any) -> Any:
        """A decorator: apps of one process do not see each other's functions."""
        return self.app.task(shared=False, **options)

    def note(self, key: str, value: Any = "1") -> None:
        if self.ledger is not None:
            self.ledger.rpush(f"ledger:{key}", value)
            self.ledger.expire(f"ledger:{key}", 600)

    def is_open(self, key: str) -> Any:
        return self.ledger.exists(f"open:{key}")

    def wait_until_open(self, key: str) -> None:
        deadline = time.monotonic() + 60
        while not self.is_open(key):
            if time.monotonic() > deadline:
                raise TimeoutError(f"open:{key} was not set in 60 s")
            time.sleep(0.02)
