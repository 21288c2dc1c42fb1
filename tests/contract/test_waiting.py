"""Waiting for results of Redis: many at once, for the same, cancelled, with a server that goes, comes or refuses."""

import asyncio
import time

import pytest

from canvas import Canvas
from canvas.errors import BrokerError, OperationalError
from canvas.testing.contract import eventually
from tests.support.redis_server import RedisServer


@pytest.fixture
def server():
    with RedisServer() as server:
        yield server


@pytest.fixture
def app(server):
    app = Canvas("waits", broker=server.url(0), backend=server.url(1), set_as_current=False)
    yield app
    app.close()


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def subscriptions(server):
    return [client for client in server.client().client_list() if client["sub"] != "0"]


async def test_many_wait_for_the_same(app):
    results = [app.AsyncResult(name) for name in "zzzyyx" for _ in range(4)]
    waiting = [asyncio.create_task(result.aget(timeout=10)) for result in results]
    await asyncio.sleep(0)
    for name in "xyz":
        await asyncio.to_thread(app.backend.store_result, name, name, "SUCCESS")
    assert await asyncio.gather(*waiting) == [result.id for result in results]


async def test_coroutines_that_read_what_is_stored_do_not_get_in_each_others_way(app):
    for number in range(50):
        app.backend.store_result(str(number), number, "SUCCESS")

    async def read():
        return [await app.AsyncResult(str(number)).aget(timeout=10) for number in range(50)]

    assert await asyncio.gather(*(read() for _ in range(4))) == [list(range(50))] * 4


async def test_what_is_stored_is_found_without_any_time(app):
    app.backend.store_result("there", 1, "SUCCESS")
    assert await app.AsyncResult("there").aget(timeout=0) == 1
    with pytest.raises(TimeoutError):
        await app.AsyncResult("not there").aget(timeout=0)


async def test_who_waits_outlives_a_restart(app, server):
    waiting = asyncio.create_task(app.AsyncResult("later").aget(timeout=30))
    await until(lambda: subscriptions(server))
    await asyncio.to_thread(server.stop)
    over = time.monotonic() + 1
    await until(lambda: time.monotonic() > over)
    await asyncio.to_thread(server.start)
    await asyncio.to_thread(app.backend.store_result, "later", 7, "SUCCESS")
    assert await waiting == 7


async def test_a_server_that_is_away_takes_no_more_than_the_time_given(app, server):
    server.stop()
    began = time.monotonic()
    with pytest.raises((TimeoutError, OperationalError)):
        await app.AsyncResult("a").aget(timeout=1)
    with pytest.raises((TimeoutError, OperationalError)):
        await asyncio.to_thread(app.AsyncResult("a").get, timeout=1)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("after", [0.0, 0.001, 0.005, 0.02])
async def test_who_is_cancelled_is_gone(app, server, after):
    for _ in range(20):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(after):
                await app.AsyncResult("never").aget()
    waiting = asyncio.create_task(app.AsyncResult("never").aget())
    await asyncio.sleep(after)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await until(lambda: not subscriptions(server))


async def test_channels_that_are_denied_are_told(server):
    server.client().execute_command("ACL", "SETUSER", "deaf", "on", ">p", "~*", "+@all", "resetchannels")
    url = f"redis://deaf:p@127.0.0.1:{server.port}/1"
    app = Canvas("deaf", broker=url, backend=url, set_as_current=False)
    with pytest.raises(BrokerError, match=r"(?i)channel"):
        await app.AsyncResult("a").aget(timeout=10)
    with pytest.raises(BrokerError, match=r"(?i)channel"):
        await asyncio.to_thread(app.AsyncResult("a").get, timeout=10)
    app.close()


def test_nothing_is_left_when_the_loop_ends(app, server):
    async def wait():
        with pytest.raises(TimeoutError):
            await app.AsyncResult("never").aget(timeout=0.05)

    asyncio.run(wait())
    eventually(lambda: not subscriptions(server))
