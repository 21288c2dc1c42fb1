"""Celery's Redis backend, which is certain of its subscription before it reads a result.

Celery sends SUBSCRIBE on one connection and GET on another, and does not wait for the first reply. A busy machine may
hand Redis the GET first. A result that is stored between the two is then neither read nor announced, and ``get()`` waits
until its timeout.
"""

import time

from celery.backends.redis import RedisBackend, ResultConsumer

SUBSCRIBED_WITHIN = 10
"""Seconds."""


class SubscribedConsumer(ResultConsumer):
    def _consume_from(self, task_id):
        super()._consume_from(task_id)
        key = self._get_key_for_task(task_id)
        deadline = time.monotonic() + SUBSCRIBED_WITHIN
        while not self.backend.client.pubsub_numsub(key)[0][1]:
            if time.monotonic() > deadline:
                raise AssertionError(f"Redis has no subscription to {key} after {SUBSCRIBED_WITHIN} s")


class SubscribedBackend(RedisBackend):
    ResultConsumer = SubscribedConsumer
