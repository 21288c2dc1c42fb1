"""URLs of clusters: what they name, and what is refused with its cure."""

import socketserver
import threading
from contextlib import ExitStack

import hiredis
import pytest

from canvas import Canvas
from canvas.drivers import open_driver
from canvas.drivers.ports.values import Lease
from canvas.drivers.redis.cluster.opening import PARTITIONS
from canvas.drivers.redis.cluster.slots import SLOTS, slot_of, spread_tags
from canvas.drivers.redis.cluster.url import parse_cluster
from canvas.errors import BrokerError, ConfigurationError
from canvas.testing.contract import ids, publish
from tests.support.redis_cluster import RedisCluster
from tests.support.tls import TlsFront

CROSSSLOT = "-CROSSSLOT Keys in request don't hash to the same slot\r\n"


def test_several_nodes_with_one_login():
    found = parse_cluster("redis+cluster://user:secret@a:7000;b:7001;redis+cluster://c", {})
    assert [(one.host, one.port) for one in found] == [("a", 7000), ("b", 7001), ("c", 6379)]
    assert {(one.username, one.password, one.ssl) for one in found} == {("user", "secret", False)}


def test_tls_by_scheme_and_by_setting():
    assert parse_cluster("rediss+cluster://a?ssl_cert_reqs=none", {})[0].ssl
    assert parse_cluster("redis+cluster://a;b", {"ssl": {"ssl_cert_reqs": "CERT_NONE"}})[1].ssl


def test_another_database():
    with pytest.raises(ConfigurationError, match=r"redis\+cluster://:\*\*@a/2: a Redis Cluster has database 0 alone"):
        parse_cluster("redis+cluster://:secret@a/2", {})


@pytest.mark.parametrize("url", ["redis+cluster://a;", "redis+cluster://;a", "redis+cluster://a;;a"])
def test_an_empty_address_among_others_is_none(url):
    assert {one.host for one in parse_cluster(url, {})} == {"a"}


def test_braces_in_the_prefix():
    with pytest.raises(ConfigurationError, match="braces name the slot"):
        open_driver("redis+cluster://a", None, broker_options={"global_keyprefix": "{mine}"})


def test_tags_share_the_slots_evenly():
    slots = [slot_of(tag) for tag in spread_tags(32)]
    assert slots == sorted(slots)
    assert [slot * 32 // SLOTS for slot in slots] == list(range(32))


def test_a_server_that_is_no_cluster(redis_url):
    app = Canvas("none", broker=redis_url.replace("redis://", "redis+cluster://"), set_as_current=False)
    with pytest.raises(BrokerError, match=r"is not in cluster mode: write redis:// in place of redis\+cluster://"):
        app.send_task("t.add")
    app.close()


def test_a_cluster_by_the_url_of_one_server(running_cluster):
    app = Canvas("one", broker=running_cluster.url("redis"), set_as_current=False)
    with pytest.raises(BrokerError, match=r"node of a Redis Cluster, or a proxy for one: write redis\+cluster://"):
        for number in range(20):
            app.send_task("t.add", queue=f"queue{number}")
    app.close()


def test_results_in_a_cluster_need_a_state_server_for_rabbitmq():
    app = Canvas("rabbit", broker="amqp://a", backend="redis+cluster://a", set_as_current=False)
    with pytest.raises(ConfigurationError, match="need a Redis server"):
        app.send_task("t.add")


@pytest.mark.parametrize("shown", ["unknown-endpoint", "hostname"])
def test_nodes_that_do_not_name_their_hosts(cluster, shown):
    """Of managed clusters; nodes that are to show names and have none show ``?``. The first address of the URL is of no
    server, so that it says nothing about the others."""
    slots = [slot_of(tag) for tag in spread_tags(PARTITIONS)[:4]]
    url = f"redis+cluster://127.0.0.2:1;127.0.0.1:{cluster.masters[0].port}"
    queues = tuple(f"q{number}" for number in range(12))
    driver = open_driver(url, url)
    try:
        for node in cluster.masters:
            node.client().config_set("cluster-preferred-endpoint-type", shown)
        driver.broker.publish([publish("first", queue) for queue in queues])
        for slot in slots:
            home = cluster.owner(slot)
            cluster.migrate(slot, next(node for node in cluster.masters if node is not home))
        driver.broker.publish([publish("second", queue) for queue in queues])
        assert [driver.admin.queue_length(queue) for queue in queues] == [2] * len(queues)
    finally:
        driver.close()
        for node in cluster.masters:
            node.client().config_set("cluster-preferred-endpoint-type", "ip")


class OldProxy(socketserver.BaseRequestHandler):
    """Serves all slots, and refuses every script, because it finds that its keys are of several slots."""

    def handle(self):
        reader, (host, port) = hiredis.Reader(), self.server.server_address
        slots = f"*1\r\n*3\r\n:0\r\n:{SLOTS - 1}\r\n*2\r\n+{host}\r\n:{port}\r\n"
        answers = {b"CLUSTER": slots, b"EVAL": CROSSSLOT, b"EVALSHA": CROSSSLOT}
        while got := self.request.recv(1 << 16):
            reader.feed(got)
            while words := reader.gets():
                self.request.sendall(answers.get(words[0], "+OK\r\n").encode())


@pytest.fixture
def old_proxy():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), OldProxy) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "{}:{}".format(*server.server_address)
        server.shutdown()


def test_a_proxy_that_does_not_know_hash_tags(old_proxy):
    app = Canvas("old", broker=f"redis+cluster://{old_proxy}", set_as_current=False)
    with app, pytest.raises(BrokerError, match=r"CROSSSLOT.* a proxy .* name the nodes themselves"):
        app.send_task("t.add")


@pytest.fixture
def limited(cluster):
    """Users of the cluster without the rights of an administrator: ``app``, and ``lost``, who may not ask for slots."""
    rights = ("on", ">secret", "~*", "&*", "+@all", "-@admin", "-@dangerous", "+info")
    for node in cluster.masters:
        node.client().execute_command("ACL", "SETUSER", "lost", *rights, "-cluster")
        node.client().execute_command("ACL", "SETUSER", "app", *rights, "-cluster", "+cluster|slots")
    yield cluster
    for node in cluster.masters:
        node.client().execute_command("ACL", "DELUSER", "lost", "app")


def test_a_user_with_few_rights(limited):
    url = limited.url().replace("://", "://app:secret@")
    driver = open_driver(url, url)
    driver.broker.publish([publish("a", "q1"), publish("b", "q2")])
    assert sorted(ids(driver.broker.lease(Lease("w", ("q1", "q2"), 10)))) == ["a", "b"]
    driver.close()


def test_a_user_without_the_right_to_ask_for_slots(limited):
    driver = open_driver(limited.url().replace("://", "://lost:secret@"), None)
    with pytest.raises(BrokerError, match=r"ACL SETUSER <user> \+cluster\|slots") as caught:
        driver.broker.publish([publish("a", "q1")])
    assert "secret" not in str(caught.value)
    driver.close()


def test_a_cluster_over_tls(tmp_path):
    """Each node names the port at which it takes TLS; the URL names one of these."""
    with RedisCluster(2) as cluster, ExitStack() as stack:
        folders = [tmp_path / str(number) for number in range(2)]
        for folder in folders:
            folder.mkdir()
        fronts = [
            stack.enter_context(TlsFront(node.port, folder))
            for node, folder in zip(cluster.masters, folders, strict=True)
        ]
        for node, front in zip(cluster.masters, fronts, strict=True):
            node.client().config_set("cluster-announce-port", front.port)
        cluster.until(lambda: announced(cluster) == [{front.port for front in fronts}] * 2)
        together = tmp_path / "authorities.pem"
        together.write_text("".join((folder / "authority.pem").read_text() for folder in folders))
        url = f"rediss+cluster://127.0.0.1:{fronts[0].port}?ssl_cert_reqs=required&ssl_ca_certs={together}"
        driver = open_driver(url, url)
        driver.broker.publish([publish(str(number), f"q{number}") for number in range(8)])
        queues = tuple(f"q{number}" for number in range(8))
        assert len(driver.broker.lease(Lease("w", queues, 10))) == 8
        assert all(node.client().dbsize() for node in cluster.masters)
        driver.close()


def announced(cluster):
    """By node, the ports at which it says that the nodes are."""
    answers = [node.client().execute_command("CLUSTER", "SLOTS") for node in cluster.masters]
    return [{master[1] for _, _, master, *_ in ranges} for ranges in answers]
