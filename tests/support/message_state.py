"""The state of messages that another broker carries, as tests open it and fill its outboxes."""

import itertools

from sqlalchemy import event, exc

from canvas.drivers.redis import open_state as open_redis_state
from canvas.drivers.sql import open_state
from canvas.model.message import Publish
from canvas.model.settlement import Settlement


def opened(url, **options):
    """The parts of a state server, whose broker is the test."""
    parts = (open_state if url.startswith("db+") else open_redis_state)(url, options, None)
    parts.connect(lambda worker: None, lambda queue, payload: payload)
    return parts


def into_outbox(state, *payloads, worker=""):
    """Put messages into an outbox."""
    outbox = state.messages.outbox(worker)
    settlement = Settlement(None, fence="none", publishes=[Publish("", outbox, 0, one) for one in payloads])
    assert state.settler.settle([settlement]).verdicts[0].held


def losing_answers(engine):
    """Have each other commit take effect and raise an error."""
    numbers = itertools.count()

    def commit(connection):
        if next(numbers) % 2 == 0:
            connection.connection.dbapi_connection.commit()
            raise exc.OperationalError("COMMIT", {}, ConnectionAbortedError("the answer was lost"))

    event.listen(engine, "commit", commit)
