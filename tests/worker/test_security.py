"""The recipes of the page on security: users of Redis with few rights, and TLS."""

import re
from pathlib import Path

import pytest
import redis

import canvas
from canvas import Canvas, chain, chord, group
from canvas.errors import OperationalError
from canvas.testing.contract import eventually
from tests.chaos.workload import workload
from tests.support.apps import make
from tests.support.ledger import Bench
from tests.support.processes import WorkerProcess
from tests.support.redis_server import RedisServer
from tests.support.tls import TlsFront
from tests.worker.commands import named, task

SCRIPTS = Path(canvas.__file__).parent / "drivers" / "redis" / "scripts"
PAGE = Path(__file__).parent.parent.parent / "docs" / "explanation" / "security.md"


def rules(name, server):
    """A user's line in the page, as ``ACL SETUSER`` takes it."""
    found = re.search(rf"<!-- acl: {name} -->\n```\n(.*?)```", PAGE.read_text(), re.DOTALL)
    version = tuple(map(int, server.client().info("server")["redis_version"].split(".")))
    return [word for word in found[1].split() if word != "+client|setinfo" or version >= (7, 2)]


@pytest.fixture
def guarded():
    """A server whose default user may do nothing, with the page's two users."""
    with RedisServer() as server, RedisServer() as ledger:
        for name in "worker", "sender":
            server.client().execute_command(*rules(name, server))
        bench = Bench(server)
        bench.ledgers = redis.Redis.from_url(ledger.url(0), decode_responses=True)
        passwords = {name: re.search(r">(\S+)", " ".join(rules(name, server)))[1] for name in ("worker", "sender")}
        urls = {
            name: [f"redis://{name}:{word}@127.0.0.1:{server.port}/{db}" for db in (0, 1)]
            for name, word in passwords.items()
        }
        yield bench, urls, ledger.url(0)


def waits(app):
    """A workflow with nodes that wait, repeat and nest."""
    inner = app.Workflow("inner")
    inner.loop(task(app, "add").s(1), inner.input("x"), until=task(app, "above").s(4), at_most=9)
    flow = app.Workflow("waits")
    answer = flow.wait_for("go", after=flow.sleep(0.1), timeout=60)
    inside = flow.timeout(flow.add(inner, inputs={"x": answer}), 60)
    first = flow.first(inside, flow.sleep(60, name="late"))
    flow.map(task(app, "ident").s(), over=flow.add(task(app, "ident").s([first, first])), concurrency=1)
    return flow


def test_the_page_gives_workers_each_command_of_the_scripts():
    """Some are called only where something is to be found, at times that no workload is sure to reach."""
    called = {
        name.lower()
        for path in SCRIPTS.rglob("*.lua")
        for name in re.findall(r"redis\.p?call\('(\w+)'", path.read_text())
    }
    page = re.search(r"<!-- acl: worker -->\n```\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    assert len(called) > 30
    assert called - set(re.findall(r"\+(\S+)", page)) == set()


def test_workers_and_senders_need_the_rights_that_the_page_names(guarded):
    bench, urls, ledger = guarded
    sender, operator = (make("canvas", *urls[name], ledger=ledger) for name in ("sender", "worker"))
    key = bench.new_key()
    with WorkerProcess(
        "canvas", *urls["worker"], "-P", "threads", "-c", "4", "-E", ledger=ledger, short_leases=1
    ) as worker:
        sent = workload(sender, key, 1)
        flow = sender.Workflow("flow")
        many = flow.map(task(sender, "ident").s(), over=flow.add(task(sender, "upto").s(3)))
        named(sender, flow, "end", many)
        run = flow.apply_async()
        assert [result.get(timeout=30) for result, _ in sent] == [value for _, value in sent]
        assert run.get(timeout=30) == ["end", [[0, 1, 2]], {}]
        run.cancel()
        waiting_run = waits(sender).apply_async()
        waiting_run.signal("go", 2)
        waiting_run.signal("kept", 3)
        assert waiting_run.get(timeout=30) == [5, 5]
        assert waiting_run.signals() == {"kept": [3]}
        cancelled = sender.Workflow("cancelled")
        cancelled.wait_for("never")
        stopped = cancelled.apply_async()
        operator.workflow(stopped.id).cancel()
        assert stopped.result.get(timeout=20, propagate=False) is not None
        bench.open(key)
        task(sender, "one_of_two").delay("a", key).get(timeout=20)
        task(sender, "unique").delay("a", key).get(timeout=20)
        task(sender, "unique_for_a_moment").delay().get(timeout=20)
        task(sender, "paced_everywhere").delay(key).get(timeout=20)
        saved = group(task(sender, "ident").s(1), task(sender, "ident").s(2)).apply_async()
        saved.save()
        assert sender.GroupResult.restore(saved.id).get(timeout=20) == [1, 2]
        saved.forget()
        bench.broker.lpush("celery", "no message")
        eventually(lambda: len(operator.driver.admin.dead_letters("celery")) == 1)
        (letter,) = operator.driver.admin.dead_letters("celery")
        assert operator.driver.admin.delete_dead_letter("celery", letter)
        operator.control.revoke(task(sender, "add").apply_async((1, 1), countdown=60).id)
        assert operator.control.ping(timeout=20, limit=1)
        assert operator.control.inspect(timeout=20, limit=1).stats()
        assert operator.driver.admin.purge("celery") == 0
        worker.stop()
    assert bench.server.client().acl_log() == []
    for user, command in [
        ("sender", ("RPOP", "celery")), ("sender", ("LRANGE", "celery", 0, -1)), ("sender", ("HGETALL", "unacked")),
        ("sender", ("PUBLISH", "/0.celery.pidbox", "x")), ("worker", ("GET", "mine")), ("worker", ("KEYS", "*")),
        ("worker", ("CONFIG", "GET", "*")), ("worker", ("FLUSHALL",)), ("worker", ("SCRIPT", "FLUSH")),
    ]:  # fmt: skip
        with pytest.raises(redis.exceptions.NoPermissionError):
            redis.Redis.from_url(urls[user][0]).execute_command(*command)


@pytest.fixture
def front(bench, tmp_path):
    with TlsFront(bench.server.port, tmp_path) as front:
        yield front


def test_results_by_messages_need_the_rights_that_the_page_adds(guarded):
    bench, urls, ledger = guarded
    admin = bench.server.client()
    added = rules("rpc", bench.server)
    admin.execute_command("ACL", "SETUSER", "sender", *added)
    admin.execute_command("ACL", "SETUSER", "worker", added[0].lstrip("("))
    admin.acl_log_reset()
    with WorkerProcess("canvas", urls["worker"][0], "rpc://", "-P", "threads", "-c", "2", ledger=ledger):
        app = make("canvas", urls["sender"][0], "rpc://", ledger=ledger)
        add = task(app, "add")
        assert group(add.s(n, n) for n in range(9)).apply_async().get(timeout=30) == [2 * n for n in range(9)]
        app.close()
    assert admin.acl_log() == []
    with pytest.raises(redis.exceptions.NoPermissionError):
        redis.Redis.from_url(urls["sender"][0]).lrange("celery", 0, -1)


def test_clients_and_workers_of_both_kinds_meet_over_tls(bench, app, front):
    urls = front.url(0), front.url(1)
    clients = [make(library, *urls) for library in ("canvas", "celery")]
    with WorkerProcess("canvas", *urls, "-P", "threads", "-c", "2") as worker:
        add, tsum = task(clients[0], "add"), task(clients[0], "tsum")
        assert chain(chord([add.s(1, 1), add.s(2, 2)], tsum.s()), add.s(1)).delay().get(timeout=20) == 7
        assert task(clients[1], "add").delay(1, 1).get(timeout=20) == 2
        assert clients[0].control.ping(timeout=20, limit=1)
        assert not any("secret" in line or "BEGIN" in line for line in worker.log)
    clients[0].close()


def test_a_certificate_that_nobody_trusts_is_refused(front):
    for url in front.url(0, ssl_cert_reqs="required"), f"rediss://127.0.0.1:{front.port}/0":
        with pytest.raises(OperationalError, match="certificate verify failed"):
            Canvas("stranger", broker=url, backend="memory://tls").send_task("t.add", retry=False)
    Canvas("careless", broker=front.url(0, ssl_cert_reqs="none"), backend="memory://tls").send_task("t.add")


def test_celerys_settings_for_tls(bench, app, tmp_path):
    with TlsFront(bench.server.port, tmp_path, mutual=True) as front:
        tls = {"ssl_ca_certs": front.authority, "ssl_certfile": front.certificate, "ssl_cert_reqs": "CERT_REQUIRED"}
        plain = [f"redis://127.0.0.1:{front.port}/{db}" for db in (0, 1)]
        client = make("canvas", *plain, broker_use_ssl=tls, redis_backend_use_ssl=tls)
        with WorkerProcess("canvas", *bench.urls()[:2], "-P", "solo"):
            assert task(client, "add").delay(1, 1).get(timeout=20) == 2
        client.close()
        without = make("canvas", *plain, broker_use_ssl={"ssl_ca_certs": front.authority})
        with pytest.raises(OperationalError):
            task(without, "add").apply_async((1, 1), retry=False)
        without.close()
