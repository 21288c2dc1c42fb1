"""What is reset in forked processes, and what a registration keeps alive."""

import gc
import os
import weakref

import pytest
from sqlalchemy import make_url

from canvas import Canvas
from canvas.drivers.amqp.local.coordination import LocalCoordination
from canvas.drivers.amqp.local.state import LocalMessages
from canvas.drivers.keyvalue.memcached import Memcached
from canvas.drivers.sql.database import Database
from canvas.forks import in_forks


class Counted:
    times = 0

    def reset(self):
        self.times += 1


def in_child(call):
    """What a function returns in a forked process, as a number."""
    pid = os.fork()
    if not pid:
        os._exit(call())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_functions_and_methods_are_called_once_in_each_forked_process():
    counted, seen = Counted(), []
    forget = [in_forks(counted.reset), in_forks(lambda: seen.append(1))]
    assert in_child(lambda: 10 * counted.times + len(seen)) == 11
    assert (counted.times, seen) == (0, [])
    for one in forget:
        one()
    assert in_child(lambda: 10 * counted.times + len(seen)) == 0


def broker():
    app = Canvas("forked", broker="amqp://127.0.0.1:1", set_as_current=False)
    return app.driver.broker


@pytest.mark.parametrize(
    "make",
    [
        Counted, LocalCoordination, lambda: LocalMessages(LocalCoordination()), lambda: Memcached(["127.0.0.1:1"], {}),
        lambda: Database(make_url("sqlite:////nowhere/results.db"), None, {}), broker,
    ],
    ids=["method", "coordination", "messages", "memcached", "sql", "rabbitmq"],
)  # fmt: skip
def test_a_registration_keeps_no_object_alive(make):
    made = make()
    if isinstance(made, Counted):
        in_forks(made.reset)
    seen = weakref.ref(made)
    del made
    gc.collect()
    assert seen() is None
    assert in_child(lambda: 7) == 7
