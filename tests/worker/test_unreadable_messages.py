"""Messages that no task here can run: they end in a failure, and are kept with the reason."""

import json
from functools import partial

import pytest

from canvas.testing.contract import eventually
from tests.worker.commands import canvas as canvas_command
from tests.worker.commands import start, task


def test_a_message_without_a_task_here_ends_in_failure_and_is_kept(bench, app):
    from canvas.errors import NotRegistered

    with start(bench, "-P", "solo") as worker:
        results = [app.send_task("no.such.task", [1]) for _ in range(3)]
        with pytest.raises(NotRegistered, match=r"no\.such\.task"):
            results[0].get(timeout=20)
        eventually(lambda: len(app.driver.admin.dead_letters("celery")) == 3)
        assert task(app, "add").delay(1, 1).get(timeout=20) == 2
    assert sum("unregistered task" in line for line in worker.log) == 1
    assert "no.such.task" in app.driver.admin.dead_letters("celery")[0].reason


def test_an_unknown_task_can_wait_for_a_worker_that_knows_it(bench, app):
    with start(bench, "-P", "solo", env={"CANVAS_WORKER_UNKNOWN_TASK": "requeue"}) as worker:
        result = app.send_task("no.such.task")
        worker.wait_for("kept for a worker that knows it")
        eventually(lambda: bench.server.client().zcard("canvas:delayed") == 1)
        assert result.state == "PENDING"
        assert app.driver.admin.dead_letters("celery") == []


def test_bytes_that_are_no_message_are_kept_with_the_reason(bench, app):
    bad = [
        b"not json",
        b'{"body": 1}',
        b"[]",
        b"\xff\xfe",
        b'{"headers": {"task": "t.add", "id": "x"}, "body": "e30="}',
    ]
    with start(bench, "-P", "solo") as worker:
        bench.server.client().lpush("celery", *bad)
        eventually(lambda: len(app.driver.admin.dead_letters("celery")) == len(bad))
        assert task(app, "add").delay(1, 1).get(timeout=20) == 2
    assert not [line for line in worker.log if "listener" in line]
    letters = app.driver.admin.dead_letters("celery")
    assert sorted(letter.payload for letter in letters) == sorted(bad)
    assert all(letter.reason for letter in letters)
    assert bench.server.client().hlen("unacked") == 0


def test_a_chain_whose_next_link_cannot_be_read_ends_there(bench, app):
    nested = 1
    for _ in range(250):
        nested = [nested]
    add = task(app, "add")
    links = [{**add.s(1), "options": {"task_id": f"link-{n}"}} for n in range(20)]
    links.insert(10, {**add.s(1), "args": [nested], "options": {"task_id": "bad"}})
    app.conf.task_message_max_depth = 300  # the sender's; the worker reads no more than 200
    with start(bench, "-P", "solo"):
        add.apply_async((1, 1), chain=links, task_id="first")
        eventually(lambda: app.driver.admin.dead_letters("celery"))
    (letter,) = app.driver.admin.dead_letters("celery")
    assert "nested more than 200 levels deep" in letter.reason
    assert "link-10" in letter.payload.decode()
    assert [app.AsyncResult(name).state for name in ("first", "link-19", "link-11", "link-10", "link-9")] == [
        "SUCCESS", "SUCCESS", "SUCCESS", "FAILURE", "PENDING",
    ]  # fmt: skip
    assert bench.server.client().hlen("unacked") == 0


def test_a_content_type_that_is_not_accepted_is_refused(bench, app):
    with start(bench, "-P", "solo"):
        result = task(app, "add").apply_async((1, 1), serializer="pickle")
        with pytest.raises(Exception, match="not accepted"):
            result.get(timeout=20)
    assert "pickle" not in app.conf.accept_content


def test_dead_letters_run_again_when_somebody_says_so(bench, app):
    dead = partial(canvas_command, bench, "dead-letters", check=False)
    with start(bench, "-P", "solo"):
        unknown = [app.send_task("t.nobody_has_this") for _ in range(2)]
        eventually(lambda: len(app.driver.admin.dead_letters("celery")) == 2)
        listed = [json.loads(line) for line in dead("list", "--json").stdout.splitlines()]
        assert [one["id"] for one in listed] == [one.id for one in unknown]
        assert "no task named 't.nobody_has_this'" in dead("show", unknown[0].id).stdout
        assert dead("requeue").returncode == 2
        assert dead("requeue", "no-such-id").returncode == 2
        assert dead("requeue", unknown[0].id).stdout == "1 put back\n"
        eventually(lambda: len(app.driver.admin.dead_letters("celery")) == 2)
        assert dead("delete", "--all").stdout == "2 deleted\n"
        assert dead("list").stdout == ""
