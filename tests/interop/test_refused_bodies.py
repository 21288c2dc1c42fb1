"""A worker that refuses the body of a message, or cannot read it, ends what waits for its task."""

import pytest

from canvas import chord
from canvas.testing.contract import eventually
from canvas.testing.worker import start_worker
from tests.support.noting import noting_app

PARTS = ["pickled", "compressed", "unknown", "pickled with values"]


@pytest.fixture
def app(request, broker, redis_url):
    broker = redis_url if broker == "redis" else request.getfixturevalue("rabbitmq").url()
    app = noting_app("refusing", broker, redis_url)

    @app.task(name="add")
    def add(x, y=0):
        return x + y

    yield app
    app.close()


def member(app, part):
    add = app.tasks["add"]
    if part == "unknown":
        return app.signature("nobody.has.this", args=(1,))
    if part == "compressed":
        return add.s(2, 2).set(compression="zlib")
    return add.s(2, 2).set(serializer="pickle")


@pytest.mark.parametrize(
    ("broker", "part"),
    [
        *(("redis", part) for part in PARTS), ("rabbitmq", "pickled"),
        *(pytest.param("rabbitmq", part, marks=pytest.mark.slow) for part in PARTS[1:]),
    ],
)  # fmt: skip
def test_a_chord_with_such_a_part_fails_with_its_errbacks(app, part, monkeypatch):
    body = app.tasks["total"].s(more={1, 2} if part == "pickled with values" else None)
    if part == "compressed":  # as a worker without the library of a compression
        monkeypatch.setattr("canvas.wire.compression.decompress", refuse)
    header = [app.tasks["add"].s(1, 1), member(app, part), member(app, part)]
    with start_worker(app, perform_ping_check=False):
        if part == "pickled with values":
            body.set(serializer="pickle")
            header = header[1:]
        result = chord(header)(body.on_error(app.tasks["note"].s()))
        with pytest.raises(Exception, match=r"refused|not accepted|nobody\.has\.this"):
            result.get(timeout=20)
        eventually(lambda: app.noted == [result.id])
        assert result.state == "FAILURE"
        assert len(app.driver.admin.dead_letters("celery")) == len([one for one in header if one.args != (1, 1)])


def refuse(*_args, **_options):
    from canvas.errors import DecodeError

    raise DecodeError("refused")
