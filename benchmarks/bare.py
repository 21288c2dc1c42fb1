"""The bare loop: a Python loop that does only the work of a worker that none can do without.

It leases 64 messages, decodes them, and writes a result for each. One script stores and announces these results,
removes the messages, and leases the next.
"""

import base64
import json

from benchmarks.arena import Arena, seconds

BATCH = 64
_SCRIPT = """
local tags = {}
redis.call('SELECT', 1)
for at = 3, #ARGV, 3 do
    redis.call('SETEX', ARGV[at + 1], 86400, ARGV[at + 2])
    redis.call('PUBLISH', ARGV[at + 1], ARGV[at + 2])
    tags[#tags + 1] = ARGV[at]
end
redis.call('SELECT', 0)
if #tags > 0 then
    redis.call('HDEL', 'unacked', unpack(tags))
    redis.call('ZREM', 'unacked_index', unpack(tags))
end
local payloads = redis.call('RPOP', 'celery', ARGV[1]) or {}
local time, leased, scored = redis.call('TIME'), {}, {}
for at, payload in ipairs(payloads) do
    leased[at * 2 - 1], leased[at * 2] = ARGV[2] + at, payload
    scored[at * 2 - 1], scored[at * 2] = time[1], ARGV[2] + at
end
if #payloads > 0 then
    redis.call('HSET', 'unacked', unpack(leased))
    redis.call('ZADD', 'unacked_index', unpack(scored))
end
return payloads
"""


def bare(arena: Arena, count: int) -> float:
    """Tasks a second."""
    arena.fill(count)
    return count / seconds(lambda: _drain(arena))


def _drain(arena: Arena) -> None:
    script = arena.broker.register_script(_SCRIPT)
    taken: list[bytes] = script(args=[BATCH, 0])
    first = 1
    while taken:
        results = [word for number, payload in enumerate(taken, first) for word in (number, *_result(payload))]
        first += len(taken)
        taken = script(args=[BATCH, first - 1, *results])


def _result(payload: bytes) -> tuple[str, str]:
    """The key and the record of a message's task."""
    message = json.loads(payload)
    json.loads(base64.b64decode(message["body"]))
    task_id = message["headers"]["id"]
    return f"celery-task-meta-{task_id}", json.dumps({"status": "SUCCESS", "result": None, "task_id": task_id})
