"""Hostile messages with results elsewhere than in Redis: the worker lives, and goes on with the next message."""

import json

import pytest

from canvas.testing.contract import eventually
from tests.chaos.hostile import Mutator, seeds_of
from tests.chaos.test_hostile import is_quiet
from tests.chaos.test_memcached_and_files import ElsewhereBench
from tests.support.apps import make
from tests.support.memcached import MemcachedServer
from tests.support.processes import members
from tests.support.redis_server import RedisServer
from tests.worker.commands import start, task

BATCH = 500
CASES = [
    pytest.param(store, extended, id=f"{store}-{'extended' if extended else 'plain'}",
                 marks=() if (store, extended) == ("postgresql", True) else pytest.mark.slow)
    for store in ("postgresql", "sqlite", "memcached", "files")
    for extended in (False, True)
]  # fmt: skip


@pytest.fixture
def url(request, tmp_path, store):
    if store == "postgresql":
        yield request.getfixturevalue("postgres").new_database()
    elif store == "memcached":
        with MemcachedServer() as memcached:
            yield memcached.url
    else:
        yield {"sqlite": f"db+sqlite:///{tmp_path}/results.db", "files": f"file://{tmp_path}"}[store]


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("store", "extended"), CASES)
def test_a_worker_goes_on_after_every_message(url, tmp_path, extended):
    with RedisServer() as server, RedisServer() as ledger:
        bench = ElsewhereBench(server, ledger, url)
        with make("canvas", server.url(0), server.url(1)) as other:
            mutator = Mutator(7, seeds_of(other), str(tmp_path / "made-by-a-pickle"))
        more = {"more": json.dumps({"result_extended": True})} if extended else {}
        with bench.client() as app, start(bench, "-P", "threads", "-c", "4", **more) as worker:
            pids = members(worker.process.pid)
            for _ in range(6):
                bench.broker.lpush("celery", *(mutator.next() for _ in range(BATCH)))
                eventually(lambda: is_quiet(bench), 120)
                bench.broker.delete("canvas:dead_letters:celery", "canvas:delayed", "canvas:delayed:messages")
            assert task(app, "add").delay(1, 1).get(timeout=20) == 2
            assert members(worker.process.pid) == pids
            assert [line for line in worker.log if "Internal error" in line or "Cannot use the broker" in line] == []
            server.client().flushall()
    assert not (tmp_path / "made-by-a-pickle").exists()
