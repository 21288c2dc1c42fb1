"""State of messages in SQL: its tables, where it is, what is repeated after an answer was lost, and what expires."""

import sqlite3
import time
import uuid
from contextlib import closing

import pytest
from sqlalchemy import create_engine, inspect, text

from canvas import Canvas
from canvas.drivers import open_driver
from canvas.drivers.ports.chords import Records
from canvas.drivers.ports.message_state import Arrival
from canvas.drivers.ports.schedules import EntryWrite
from canvas.drivers.redis import open_state as open_redis_state
from canvas.drivers.sql import open_state
from canvas.errors import ConfigurationError, OperationalError, RefusedError
from canvas.model.message import Delivery, Publish
from canvas.model.settlement import ResultWrite, Settlement, UniqueLock
from canvas.testing.contract import envelope, eventually, part
from tests.support.message_state import into_outbox, losing_answers
from tests.support.proxy import Proxy
from tests.worker.commands import invoked


def test_a_claim_whose_answer_was_lost_is_made_again(state):
    state.recovery.heartbeat("f", [""], 60)
    into_outbox(state, *(b"%d" % number for number in range(5)))
    assert state.messages.claim("f", 2) == [b"0", b"1"]
    assert state.messages.claim("f", 2) == [b"0", b"1"]
    assert state.messages.claim("f", 3) == [b"0", b"1", b"2"]
    state.messages.sent("f", 3)
    assert (state.messages.claim("f", 9), state.messages.shared_count()) == ([b"3", b"4"], 0)
    state.recovery.unregister("f")
    assert state.messages.shared_count() == 2


def test_outboxes_keep_their_order_and_go_to_all_when_their_worker_dies(state):
    state.recovery.heartbeat("w", [""], 60)
    into_outbox(state, b"a", b"b", worker="w")
    into_outbox(state, b"other")
    assert state.messages.unsent("w", 9) == [b"a", b"b"]
    state.recovery.recover_worker("w")
    assert sorted(state.messages.claim("f", 9)) == [b"a", b"b", b"other"]


@pytest.fixture(params=["sqlite", "postgresql"])
def doubtful(request):
    """A state whose database loses the answer to each other commit."""
    url = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    first = open_state(url, {}, None)
    first.check()
    first.close()
    options = {"database_engine_callback": losing_answers, "database_create_tables_at_setup": False}
    parts = open_state(url, options, None)
    parts.connect(lambda worker: None, lambda queue, payload: payload)
    yield parts
    parts.close()


def test_calls_whose_answers_are_lost_have_their_effect_once(doubtful):
    messages, coordination = doubtful.messages, doubtful.coordination
    delivery = Delivery("canvas:w:1", "q", envelope("a"))
    arrival = Arrival(delivery, "id", 0, True)
    assert [one.tag for one in messages.register("w", [arrival]).deliveries] == [delivery.tag]
    send = Publish("", messages.outbox(""), 0, b"unique")
    assert coordination.publish_unique(send, UniqueLock("k", "one"), 60) is None
    assert doubtful.schedules.write(EntryWrite("s", "one", 0, 5.0, b"", b""), None).held
    assert [entry.revision for entry in doubtful.schedules.read("s")] == [1]
    into_outbox(doubtful, *(b"%d" % number for number in range(6)), worker="w")
    assert messages.unsent("w", 9) == [b"%d" % number for number in range(6)]
    messages.sent("w", 2)
    messages.sent("w", 2, [b"3"])
    assert messages.unsent("w", 9) == [b"4", b"5"]
    assert messages.claim("f", 9) == [b"unique", b"3"]


def test_messages_that_were_sent_are_not_sent_again_after_an_outage(sqlite_url):
    state = open_state(sqlite_url, {"database_engine_options": {"connect_args": {"timeout": 0.01}}}, None)
    into_outbox(state, b"a", b"b", b"c", worker="w")
    with closing(sqlite3.connect(sqlite_url.removeprefix("db+sqlite:///"))) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OperationalError):
            state.messages.sent("w", 2)
        other.rollback()
    assert state.messages.unsent("w", 9) == [b"c"]
    state.close()


def test_the_answer_to_the_emptying_of_an_outbox_in_redis_is_lost(redis_server, redis_url):
    def lose(request):
        if request.name == "delete_sent" and not lost:
            lost.append(request)
            return lambda answer: proxy.cut()
        return None

    lost = []
    with Proxy(redis_server.port, lose) as proxy:
        state = open_redis_state(proxy.url(0), {}, None)
        into_outbox(state, b"a", b"b", b"c", worker="w")
        state.messages.sent("w", 2, [b"b"])
        assert len(lost) == 1
        assert state.messages.unsent("w", 9) == [b"c"]
        assert state.messages.claim("f", 9) == [b"b"]
        state.close()


def test_keys_of_any_length_and_text(state):
    for key in ("k" * 3000, "nul \0", "half \ud800 pair", "ünïcode"):
        lock, other = UniqueLock(key, "one"), UniqueLock(key, "two")
        send = Publish("", state.messages.outbox(""), 0, b"message")
        if key.isprintable():
            assert state.coordination.publish_unique(send, lock, 60) is None
            assert state.coordination.publish_unique(send, other, 60) == "one"
            assert state.coordination.reserve_rate_slot(key, 60) == 0
            assert state.coordination.reserve_rate_slot(key, 60) > 0
        if "\ud800" not in key:
            state.coordination.revoke([key], 60)
            assert key in state.coordination.revoked()[1]


def test_expired_rows_are_deleted_by_one_process(sqlite_url, monkeypatch):
    states = [open_state(sqlite_url, {}, None) for _ in range(2)]
    for one in states:
        one.coordination.revoke(["id:a"], 0.01)
        one.coordination.reserve_rate_slot("r", 0.01)
        monkeypatch.setattr(one.recovery, "_next_sweep", 0.0)
    engine = create_engine(sqlite_url[3:])

    def rows(table):
        with engine.connect() as connection:
            return connection.execute(text(f"SELECT count(*) FROM {table}")).scalar()

    assert (rows("canvas_revocations"), rows("canvas_rate_limits")) == (1, 1)
    eventually(lambda: states[0].coordination.revoked()[1] == [])
    with engine.connect() as connection:
        next_turn = connection.execute(text("SELECT next_turn FROM canvas_rate_limits")).scalar()
    eventually(lambda: time.time() > next_turn + 0.01)
    assert [one.recovery.recover_dead_workers() for one in states] == [0, 0]
    assert (rows("canvas_revocations"), rows("canvas_rate_limits")) == (0, 0)
    states[1].coordination.revoke(["id:b"], 0.01)
    monkeypatch.setattr(states[1].recovery, "_next_sweep", 0.0)
    states[1].recovery.recover_dead_workers()
    assert rows("canvas_revocations") == 1  # the other process has deleted rows in this minute
    engine.dispose()
    for one in states:
        one.close()


def test_the_tables_of_a_state_are_made_by_the_command(sqlite_url, tmp_path):
    backend = f"db+sqlite:///{tmp_path}/other.db"
    with Canvas(
        "own", broker="amqp://nowhere", backend=backend, canvas_state=sqlite_url, set_as_current=False,
        database_create_tables_at_setup=False,
    ) as app:  # fmt: skip
        with pytest.raises(Exception, match="canvas db upgrade"):
            app.driver.broker.state.coordination.revoke(["id:a"], 60)
        made = invoked(app, "db", "create").stdout
        assert "made canvas_leases\n" in made and "made celery_taskmeta\n" in made
        app.driver.broker.state.coordination.revoke(["id:a"], 60)
    tables = {url: set(inspect(create_engine(url[3:])).get_table_names()) for url in (backend, sqlite_url)}
    assert "canvas_leases" not in tables[backend] and "celery_taskmeta" not in tables[sqlite_url]


def test_one_database_has_results_and_state_in_its_schema(sqlite_url):
    with Canvas("own", broker="amqp://nowhere", backend=sqlite_url, set_as_current=False) as app:
        assert app.driver.results.database is app.driver.broker.state.messages.database
        assert {"coordination", "runs", "parts"} <= app.driver.capabilities
        assert app.driver.schedules is not None
        invoked(app, "db", "create")
    assert {"canvas_leases", "celery_taskmeta"} <= set(inspect(create_engine(sqlite_url[3:])).get_table_names())


@pytest.mark.parametrize("backend", ["cache+memcached://localhost", "file:///tmp"])
def test_a_server_that_keeps_no_state_is_refused_by_name(backend):
    with pytest.raises(ConfigurationError, match=r"is neither.*canvas_state"):
        open_driver("amqp://", backend)


def test_what_the_database_refuses_keeps_no_other_settlement(postgres_url):
    """An id that is longer than Celery's column, in a batch of three."""
    from canvas.drivers.sql import open_results

    store = open_results(postgres_url, {})
    state = open_state(postgres_url, {}, store)
    batch = [
        Settlement(None, fence="none", stores=[ResultWrite(task_id, b"{}", 60, True)])
        for task_id in ("a", "x" * 300, "b")
    ]
    verdicts = state.settler.settle(batch).verdicts
    assert [verdict.held for verdict in verdicts] == [True, False, True]
    assert "too long" in verdicts[1].refused
    assert store.results.get(["a", "b"]) == [b"{}", b"{}"]
    with pytest.raises(RefusedError):
        store.results.store(batch[1].stores)
    state.close()


@pytest.mark.parametrize(("of", "to"), [("/t", "/absent_t"), ("postgres@", "absent@")])
def test_a_database_that_does_not_let_the_worker_in_is_not_tried_again(postgres_url, of, to):
    state = open_state(postgres_url.replace(of, to, 1), {}, None)
    with pytest.raises(RefusedError, match=r"absent.* does not exist; correct the user"):
        state.check()


def test_a_database_that_is_away_is_tried_again():
    state = open_state("db+postgresql://user:secret@127.0.0.1:1/name", {}, None)
    with pytest.raises(OperationalError, match=r"user:\*\*\*?@127.0.0.1") as raised:
        state.check()
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("value", [{"a": 1}, "\ud800", {"a": "\ud800"}, ["a"]], ids=repr)
def test_a_value_that_no_column_takes_is_refused(url, value):
    """A message that anybody has sent may bring it as the id of its group. A worker goes on after it."""
    driver = open_driver(f"memory://{uuid.uuid4()}", url)
    with pytest.raises(RefusedError, match="database"):
        driver.chords.record(Records(parts=[part(value, "a", 0)]))
    assert driver.results.get(["a"]) == [None]
    driver.close()
