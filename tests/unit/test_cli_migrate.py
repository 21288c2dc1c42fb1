"""``canvas migrate``: which messages move to another broker, and in which order."""

import threading
import time

import pytest

from canvas import Canvas
from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.ports.values import Lease
from canvas.drivers.stored_messages import task_id_of
from canvas.model.settlement import DelayedPublish, Settlement
from canvas.testing.contract import publish
from tests.support.command_folder import commands_in


@pytest.fixture
def run(tmp_path, redis_url, result_url):
    return commands_in(tmp_path, redis_url, result_url)


def test_messages_move_to_another_broker(run, redis_server):
    from tests.support.redis_server import RedisServer

    source = redis_server.url(0)
    app = Canvas("sender", broker=source)
    for number in range(5):
        app.send_task("proj.add", (number, 0), priority=6 if number > 2 else 0)
    app.close()
    with RedisServer() as other:
        assert run("-A", "proj", "migrate", source, source).returncode == 2
        first = run("-A", "proj", "migrate", source, other.url(0), "--limit", "2")
        assert first.stdout.startswith("Moved 2 messages of celery.")
        assert run("-A", "proj", "migrate", source, other.url(0)).stdout.startswith("Moved 3 messages")
        assert redis_server.client().keys("*celery*") in ([], [b"_kombu.binding.celery"])
        assert not redis_server.client().exists("unacked", "canvas:workers")
        assert (other.client().llen("celery"), other.client().llen("celery\x06\x166")) == (3, 2)


def test_messages_of_chosen_tasks_move_to_a_renamed_queue_as_they_come(run, redis_server):
    from tests.support.redis_server import RedisServer

    source = redis_server.url(0)
    app = Canvas("sender", broker=source)
    for number in range(3):
        app.send_task("proj.add", (number, 0), task_id=f"add{number}")
        app.send_task("proj.mul", (number, 0), task_id=f"mul{number}")
    with RedisServer() as other:
        options = ("-T", "proj.mul,proj.div", "-Q", "celery:new")
        assert run("-A", "proj", "migrate", source, other.url(0), *options).stdout.startswith("Moved 3 messages")
        moved = [task_id_of(ENVELOPE, payload) for payload in other.client().lrange("new", 0, -1)]
        assert moved == ["mul2", "mul1", "mul0"]
        left = [task_id_of(ENVELOPE, payload) for payload in redis_server.client().lrange("celery", 0, -1)]
        assert left == ["add2", "add1", "add0"]
        assert not redis_server.client().exists("unacked", "canvas:workers")

        later = threading.Timer(1.0, app.send_task, ("proj.mul", (3, 0)))
        later.start()
        waiting = ("--forever", "-n", "4")
        assert run("-A", "proj", "migrate", source, other.url(0), *waiting).stdout.startswith("Moved 4 messages")
        assert run("-A", "proj", "migrate", source, other.url(0), "-t", "0.1").stdout.startswith("Moved 0 messages")
    app.close()


def test_what_waits_for_its_time_or_a_place_moves_too(run, redis_server):
    from tests.support.redis_server import RedisServer

    source = redis_server.url(0)
    app = Canvas("sender", broker=source)
    driver = app.driver
    for number in range(4):
        app.send_task("proj.add", (number, 0), task_id=f"t{number}")
    held = driver.broker.lease(Lease("w", ["celery"], 4))
    assert [driver.coordination.acquire_permit("key", 1, delivery) for delivery in held[:3]] == [True, False, False]
    driver.recovery.unregister("w")
    later = [
        DelayedPublish(time.time() + 3600, publish(name, queue)) for name, queue in (("t4", "celery"), ("t5", "other"))
    ]
    app.driver.settler.settle([Settlement(None, deferrals=later)])
    assert driver.admin.in_flight() == (0, 2, 2)
    with RedisServer() as other:
        assert run("-A", "proj", "migrate", source, other.url(0), "-n", "4").stdout.startswith("Moved 4 messages")
        assert driver.admin.in_flight() == (0, 2, 0)
        assert run("-A", "proj", "migrate", source, other.url(0)).stdout.startswith("Moved 1 messages of celery.")
        moved = [task_id_of(ENVELOPE, payload) for payload in other.client().lrange("celery", 0, -1)]
        assert sorted(moved) == ["t0", "t1", "t2", "t3", "t4"]
    assert (driver.admin.queue_length("celery"), driver.admin.in_flight()) == (0, (0, 1, 0))
    app.close()
