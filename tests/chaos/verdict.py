"""What a storm whose deadline has passed says: was something lost, or was it only slow?

It ends the storm, prints all that decides between the two, and waits on for a long time with workers that nothing happens
to. ``CHAOS_REPORTS``: a folder that gets the report as a file too.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import redis
from sqlalchemy import MetaData, inspect, select

from canvas.errors import OperationalError, TimeoutError
from tests.chaos.workload import runs_of
from tests.support.processes import members
from tests.support.rabbitmq import SharedRabbitMQ

CALM = 300.0
"""Seconds for which the unfinished have, without the storm, to end after all: longer than any time of the engine."""
_WIDTH, _ITEMS, _LINES = 600, 30, 80


class Lost(AssertionError):
    """Something did not end, with all workers alive and nothing happening to them."""


class Slow(AssertionError):
    """Everything ended, but only after the deadline."""


def values_of(sent, bench, key, storm, within):
    """The values of the results of a workload, once all have one. Raises Slow or Lost where that takes longer than
    ``within`` seconds."""
    results = [result for result, _ in sent]
    if _ended(results, within):
        return [_value(result) for result in results]
    began = time.monotonic()
    storm.calm()  # the storm may just have stopped the server that is asked now
    missing = _unfinished(results)
    report = [f"{len(missing)} of {len(results)} are unfinished after {within} s", *_all_of(bench, key, storm, missing)]
    ended = _ended(results, CALM)
    took = time.monotonic() - began
    verdict = f"SLOW: it ended {took:.0f} s later" if ended else f"LOST: it did not end in {took:.0f} s without a storm"
    if not ended:
        report += ["=== LATER", *_all_of(bench, key, storm, _unfinished(results))]
    _publish([verdict, *report])
    raise (Slow if ended else Lost)(verdict)


def _value(result):
    """The value of a result that has ended; its server may be away for some seconds."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return result.get(timeout=60)
        except OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def _ended(results, seconds):
    """Whether all results end within that time."""
    deadline = time.monotonic() + seconds
    for result in results:
        while True:
            try:
                result.get(timeout=max(0.01, deadline - time.monotonic()), propagate=False)
                break
            except TimeoutError:
                return False
            except OperationalError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.1)
    return True


def _unfinished(results):
    return [result for result in results if not result.ready()]


def _publish(lines):
    text = "\n".join(lines)
    print(text)
    if folder := os.environ.get("CHAOS_REPORTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        Path(folder, f"{time.time():.0f}-{os.getpid()}.txt").write_text(text)


def _all_of(bench, key, storm, missing):
    yield f"== at {time.time():.3f}; clock jumps of this process: {storm.jumps}"
    yield from _of_tasks(bench, key, missing)
    for name in ("broker", "results"):
        client = getattr(bench, name, None)
        if client is not None:
            yield f"== Redis, {name}"
            yield from _of_redis(client)
    if getattr(bench, "engine", None) is not None:
        yield "== SQL"
        yield from _of_sql(bench.engine)
    url = bench.urls()[0]
    if url.startswith("amqp"):
        yield "== RabbitMQ"
        yield from _of_rabbitmq(url, bench.node)
    yield "== storm"
    yield from storm.log
    yield from _of_workers(storm)


def _of_tasks(bench, key, missing):
    """The unfinished results with what they wait for, and where their tasks ran."""
    ran = runs_of(bench, key)
    for result in missing:
        chain, one = [], result
        while one is not None:
            open_members = [member.id for member in getattr(one, "results", ()) if not member.ready()]
            said = f"waits for {open_members}" if hasattr(one, "results") else one.state
            chain.append(f"{one.id} {said}, ran {ran.get(one.id)}")
            one = one.parent
        yield "-- unfinished: " + " <- ".join(chain)


def _of_redis(client):
    now = float("{}.{:06}".format(*client.time()))
    yield f"its clock: {now:.3f}"
    for name in sorted(client.keys()):
        kind = client.type(name)
        content = _CONTENTS[kind](client, name) if kind in _CONTENTS else kind
        if not (name.startswith((b"celery-task-meta-", b"_kombu")) and b'"SUCCESS"' in str(content).encode()):
            yield f"{name.decode(errors='replace')} {kind.decode()} ttl {client.ttl(name)}: {content!s:.{_WIDTH}}"


def _of_hash(client, name):
    found = client.hgetall(name)
    return f"{len(found)} {dict(list(found.items())[:_ITEMS])}"


_CONTENTS: Mapping[bytes, object] = {
    b"string": redis.Redis.get,
    b"hash": _of_hash,
    b"list": lambda client, name: f"{client.llen(name)} {client.lrange(name, 0, _ITEMS)}",
    b"set": lambda client, name: f"{client.scard(name)} {list(client.smembers(name))[:_ITEMS]}",
    b"zset": lambda client, name: f"{client.zcard(name)} {client.zrange(name, 0, _ITEMS, withscores=True)}",
}


def _of_sql(engine):
    names = [name for name in inspect(engine).get_table_names() if name.startswith("canvas_")]
    found = MetaData()
    found.reflect(engine, only=names)
    with engine.connect() as connection:
        for name in names:
            rows = connection.execute(select(found.tables[name]).limit(200)).mappings().all()
            yield f"-- {name}: {len(rows)} rows"
            yield from (f"{dict(row)!s:.{_WIDTH}}" for row in rows[:_ITEMS])


def _of_rabbitmq(url, node):
    vhost = url.rpartition("/")[2].partition("?")[0]
    control = (node or SharedRabbitMQ()).control
    for words in (("list_queues", "-p", vhost, "name", "type", "messages_ready", "messages_unacknowledged", "consumers"),
                  ("list_consumers", "-p", vhost), ("list_connections", "pid", "state", "timeout")):  # fmt: skip
        yield f"-- {' '.join(words)}"
        try:
            yield control(*words)
        except subprocess.CalledProcessError as exc:  # the node may be one that the storm has killed
            yield f"{exc}: {exc.stderr}"


def _of_workers(storm):
    """The workers of the fleet: what their threads do, and what all workers logged last."""
    alive = [worker for worker in storm.fleet if worker.process.poll() is None]
    for worker in alive:
        pids = members(worker.process.pid)
        states = {pid: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in pids}
        yield f"-- alive: {worker.process.pid}, processes {states}"
        for pid in pids:
            os.kill(pid, signal.SIGUSR1)  # it logs what its threads do
    time.sleep(2.0)
    for worker in storm.started:
        yield f"-- log of {worker.process.pid}, exit code {worker.process.poll()}"
        yield "".join(worker.log[-_LINES * (4 if worker in alive else 1) :])
