"""URLs of clusters: what they name, and what is refused with its cure."""

import pytest

from canvas import Canvas
from canvas.drivers import open_driver
from canvas.drivers.redis.cluster.slots import SLOTS, slot_of, spread_tags
from canvas.drivers.redis.cluster.url import parse_cluster
from canvas.errors import BrokerError, ConfigurationError


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
