"""``celery.contrib``: the remote debugger, and the messages for tests."""

import io
import json
import socket
import sys
import threading
from datetime import UTC, datetime

import celery
import celery.contrib.testing.mocks
import pytest

from canvas import Canvas
from canvas.celery_names.contrib import mocks, rdb
from tests.support.dashboards import eventually
from tests.support.redis_server import free_port


def connected(port):
    try:
        return socket.create_connection(("127.0.0.1", port), timeout=30)
    except ConnectionRefusedError:
        return None


@pytest.mark.parametrize("word", ["c", "continue", "exit", "q"])
def test_a_session_of_the_debugger(monkeypatch, word):
    """The client sees the place and the variables, changes one, and the task goes on."""
    port, out, found = free_port(), io.StringIO(), []
    monkeypatch.setattr(rdb, "CELERY_RDB_PORT", port)
    monkeypatch.setattr("sys.stdout", out)

    def task(x):
        rdb.set_trace()
        found.append(x + 1)

    running = threading.Thread(target=task, args=(1,))
    running.start()
    with eventually(lambda: connected(port)) as client, client.makefile("rw") as session:
        session.write(f"p x + 40\n!x = 6\n{word}\n")
        session.flush()
        said = session.read()
    running.join(30)
    assert found == [7]
    # From Python 3.13 on, the debugger stops at the call itself.
    assert ("-> rdb.set_trace()" if sys.version_info >= (3, 13) else "-> found.append(x + 1)") in said
    assert "41" in said.split("(Pdb)")[1]
    assert f"Remote Debugger:{port}: Ready to connect: telnet 127.0.0.1 {port}" in out.getvalue()
    assert out.getvalue().endswith("ended.\n")
    assert not rdb._sessions[0].active


def test_the_debugger_takes_the_next_free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with rdb.Rdb.get_avail_port("127.0.0.1", port) as found:
            assert found.getsockname()[1] > port
        with pytest.raises(OSError, match="all ports from"):
            rdb.Rdb.get_avail_port("127.0.0.1", port, 1)


@pytest.mark.parametrize("name", ["TaskMessage", "TaskMessage1"])
def test_messages_for_tests(name):
    given = {"id": "i", "args": (1,), "kwargs": {"a": 2}, "callbacks": [{"task": "b"}], "eta": "2026-01-01"}
    ours, theirs = (getattr(module, name)("t", **given) for module in (mocks, celery.contrib.testing.mocks))
    for field in ("headers", "payload", "content_type", "content_encoding"):
        assert getattr(ours, field) == getattr(theirs, field)
    assert json.loads(ours.body) == json.loads(theirs.body)


def plain(x):
    return x


def test_messages_of_signatures():
    found = []
    for app, module in (
        (Canvas("mocks", broker="memory://mocks"), mocks),
        (celery.Celery("mocks", broker="memory://"), celery.contrib.testing.mocks),
    ):
        task = app.task(name="t")(plain)
        sig = task.s(1).set(task_id="i", eta=datetime(2026, 1, 1, tzinfo=UTC), expires=datetime(2026, 1, 2, tzinfo=UTC))
        sig.link(task.si(2))
        message = module.task_message_from_sig(app, sig)
        found.append((message.headers, json.loads(message.body)))
        assert "link" not in sig.options
        assert message.headers.pop("reply_to")  # another one for each app
        app.close()
    assert found[0] == found[1]


def test_a_mock_for_with():
    for module in (mocks, celery.contrib.testing.mocks):
        mock = module.ContextMock()
        with mock as entered:
            assert entered is mock
        mock.__enter__.assert_called_once()
        with pytest.raises(ValueError, match="x"), mock:
            raise ValueError("x")
        assert mock.__exit__.call_count == 2
