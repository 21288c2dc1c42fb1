"""The bare loop: a plain Python loop that does only the Redis work of a lease and a settlement, and decodes JSON."""

import base64
import json
import time

from benchmarks.arena import Arena

BATCH = 64


def bare(arena: Arena, count: int) -> float:
    """Tasks a second."""
    arena.fill(count)
    started = time.perf_counter()
    done = 0
    while done < count:
        done += _batch(arena)
    return count / (time.perf_counter() - started)


def _batch(arena: Arena) -> int:
    broker, results = arena.broker, arena.results
    taken = broker.rpop("celery", BATCH) or []
    held = broker.pipeline(transaction=True)
    for payload in taken:
        tag = json.loads(payload)["properties"]["delivery_tag"]
        held.hset("unacked", tag, payload)
        held.zadd("unacked_index", {tag: time.time()})
    held.execute()
    stored, acked = results.pipeline(transaction=True), broker.pipeline(transaction=True)
    for payload in taken:
        message = json.loads(payload)
        json.loads(base64.b64decode(message["body"]))
        key = f"celery-task-meta-{message['headers']['id']}"
        record = json.dumps({"status": "SUCCESS", "result": None, "task_id": message["headers"]["id"]})
        stored.setex(key, 86400, record)
        stored.publish(key, record)
        acked.hdel("unacked", message["properties"]["delivery_tag"])
        acked.zrem("unacked_index", message["properties"]["delivery_tag"])
    stored.execute()
    acked.execute()
    return len(taken)
