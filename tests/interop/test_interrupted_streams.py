"""A group or chord is sent in slices: what interrupts the sending between two of them leaves no chord waiting."""

import asyncio

import pytest

from canvas import chord, group
from canvas.graph import stream
from canvas.graph.stream import SLICE
from canvas.model.ids import new_id
from canvas.testing.contract import eventually
from canvas.testing.worker import start_worker
from tests.support.noting import noting_app

READ = 2 * SLICE
"""The second slice is sent when the first member of the third is read."""
SENT = SLICE


@pytest.fixture(autouse=True)
def _a_busy_machine_makes_no_iterator_slow(monkeypatch):
    monkeypatch.setattr(stream, "READ_WITHIN", 60.0)


@pytest.fixture
def app(request, servers, redis_url):
    broker, backend = (
        redis_url if name == "redis" else request.getfixturevalue("rabbitmq").url() if name == "rabbitmq" else name
        for name in servers
    )
    if backend == "sql":
        backend = request.getfixturevalue("postgres").new_database()
    app = noting_app("streams", broker, backend)
    app.ran = 0

    @app.task(name="one")
    def one(value):
        app.ran += 1
        return value

    yield app
    app.close()


def broken(app, exc):
    for value in range(READ):
        yield app.tasks["one"].s(value)
    raise exc


SERVERS = [
    ("redis", "redis"), *(pytest.param(pair, marks=pytest.mark.slow) for pair in [("rabbitmq", "redis"), ("redis", "sql")])
]  # fmt: skip


@pytest.mark.parametrize("servers", SERVERS, ids="-".join)
@pytest.mark.parametrize("kind", [LookupError, KeyboardInterrupt])
def test_a_chord_whose_iterator_raises_ends_in_failure(app, kind):
    exc = kind("no more")
    with start_worker(app, perform_ping_check=False, concurrency=2):
        body = app.tasks["total"].s().set(task_id=new_id()).on_error(app.tasks["note"].s())
        with pytest.raises(kind) as raised:
            chord(broken(app, exc), body).apply_async()
        (note,) = raised.value.__notes__
        assert note == f"{SENT} tasks were sent before; the chord's body {body.id} ends in FAILURE"
        with pytest.raises(Exception, match="expired"):
            app.AsyncResult(body.id).get(timeout=30)
        eventually(lambda: app.noted == [body.id])
        eventually(lambda: app.ran == SENT)


@pytest.mark.parametrize("servers", SERVERS[:1], ids="-".join)
def test_a_chord_whose_sending_is_cancelled_ends_in_failure(app):
    async def send(body):
        def members():
            for value in range(READ):
                yield app.tasks["one"].s(value)
            sending.cancel()
            for value in range(READ):
                yield app.tasks["one"].s(value)

        sending = asyncio.ensure_future(chord(members(), body).aapply_async())
        with pytest.raises(asyncio.CancelledError):
            await sending

    with start_worker(app, perform_ping_check=False, concurrency=2):
        body = app.tasks["total"].s().set(task_id=new_id()).on_error(app.tasks["note"].s())
        asyncio.run(send(body))
        with pytest.raises(Exception, match="expired"):
            app.AsyncResult(body.id).get(timeout=30)
        eventually(lambda: app.noted == [body.id])


@pytest.mark.parametrize("servers", SERVERS[:1], ids="-".join)
def test_the_error_of_a_group_says_what_was_sent(app):
    with pytest.raises(LookupError) as raised:
        group(broken(app, LookupError("no more"))).apply_async(queue="unread")
    assert raised.value.__notes__ == [f"{SENT} tasks were sent before"]
    assert app.driver.admin.queue_length("unread") == SENT
