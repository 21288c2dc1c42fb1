"""Tasks a second of one worker process: canvas, Celery, and the bare Redis loop."""

import base64
import json
import os
import signal
import statistics
import subprocess
import sys
import time

import redis

from benchmarks.tasks import make
from canvas.embedded import EmbeddedRedis

TASKS = {"canvas": 10_000, "celery": 2_000, "bare": 10_000}
RUNS = 5


def fill(client: redis.Redis, count: int, url: str) -> None:
    """Put ``count`` messages, encoded by Celery, into the queue of an empty server."""
    client.flushall()
    app = make("celery", url, "disabled://")
    app.tasks["bench.noop"].apply_async(ignore_result=False)
    sample = json.loads(client.lpop("celery"))
    pipe = client.pipeline(transaction=False)
    for number in range(count):
        task_id = f"task-{number}"
        sample["headers"].update(id=task_id, root_id=task_id, ignore_result=False)
        sample["properties"].update(correlation_id=task_id, delivery_tag=f"tag-{number}")
        pipe.lpush("celery", json.dumps(sample))
    pipe.execute()


def worker(library: str, server: EmbeddedRedis, results: redis.Redis, count: int) -> float:
    """Tasks a second of one worker process that finds ``count`` messages waiting."""
    environment = {
        **os.environ,
        "BENCH_LIBRARY": library,
        "BENCH_BROKER": server.url(0),
        "BENCH_BACKEND": server.url(1),
    }
    command = [sys.executable, "-m", library, "-A", "benchmarks.tasks:app", "worker", "-P", "solo", "-l", "ERROR"]
    if library == "celery":
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while results.dbsize() < count * 0.1:
            time.sleep(0.002)
        first, started = results.dbsize(), time.perf_counter()
        while (done := results.dbsize()) < count:
            time.sleep(0.002)
        return (done - first) / (time.perf_counter() - started)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def bare(client: redis.Redis, results: redis.Redis, count: int) -> float:
    """The Redis work of leasing and settling alone, 64 a batch, with JSON decoded."""
    started = time.perf_counter()
    done = 0
    while done < count:
        taken = client.rpop("celery", 64) or []
        held = client.pipeline(transaction=True)
        for payload in taken:
            tag = json.loads(payload)["properties"]["delivery_tag"]
            held.hset("unacked", tag, payload)
            held.zadd("unacked_index", {tag: time.time()})
        held.execute()
        stored, acked = results.pipeline(transaction=True), client.pipeline(transaction=True)
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
        done += len(taken)
    return count / (time.perf_counter() - started)


def main() -> None:
    """Measure in turns and print the table."""
    figures: dict[str, list[float]] = {name: [] for name in TASKS}
    with EmbeddedRedis() as server:
        client = redis.Redis(unix_socket_path=server.socket, db=0)
        results = redis.Redis(unix_socket_path=server.socket, db=1)
        for _ in range(RUNS):
            for name, count in TASKS.items():
                fill(client, count, server.url(0))
                rate = bare(client, results, count) if name == "bare" else worker(name, server, results, count)
                figures[name].append(rate)
    median = {name: statistics.median(rates) for name, rates in figures.items()}
    machine = f"Python {sys.version.split()[0]}, {os.cpu_count()} cores"
    print(f"noop with stored result, one process, median of {RUNS}, {machine}")
    for name, rates in figures.items():
        print(f"  {name:<8} {median[name]:>9,.0f} tasks/s   (from {min(rates):,.0f} to {max(rates):,.0f})")
    print(f"  canvas / celery    {median['canvas'] / median['celery']:.1f}")
    print(f"  canvas / bare loop {median['canvas'] / median['bare']:.2f}")


if __name__ == "__main__":
    main()
