"""The private RabbitMQ node of the tests: started once, shared, and gone with its last user."""

import socket
import subprocess
import sys
import time

import amqp
import pytest

from canvas.testing.contract import eventually
from tests.support.processes import ROOT
from tests.support.rabbitmq import RabbitMQNode, SharedRabbitMQ, answers


def test_users_share_a_node_that_ends_with_the_last(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with SharedRabbitMQ("one") as first:
        with SharedRabbitMQ("one") as second:
            assert first.port == second.port
            vhosts = {first.new_vhost(), second.new_vhost()}
            assert len(vhosts) == 2
        for vhost in vhosts:
            with amqp.Connection(f"127.0.0.1:{first.port}", virtual_host=vhost) as connection:
                name = connection.channel().queue_declare("").queue
                assert name.startswith("amq.gen")
        assert answers(first.port)
    deadline = time.monotonic() + 20
    while list(tmp_path.iterdir()):
        assert time.monotonic() < deadline, "the node is still there"
        time.sleep(0.05)
    assert not answers(first.port)


def test_each_vhost_is_given_once(rabbitmq):
    assert rabbitmq.new_vhost() != rabbitmq.new_vhost()


def test_a_vhost_that_does_not_exist_is_refused(rabbitmq):
    with pytest.raises(amqp.NotAllowed, match="vhost nowhere not found"):
        amqp.Connection(f"127.0.0.1:{rabbitmq.port}", virtual_host="nowhere").connect()


@pytest.mark.slow
def test_a_node_ends_with_a_process_that_is_killed(tmp_path):
    program = (
        "import sys, time; from tests.support.rabbitmq import RabbitMQNode; "
        "print(RabbitMQNode(sys.argv[1]).start().port, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE) as owner:
        port = int(owner.stdout.readline())
        assert answers(port)
        owner.kill()
    eventually(lambda: not answers(port))


@pytest.mark.slow
def test_a_node_whose_port_was_taken_meanwhile_starts_at_another(tmp_path):
    node = RabbitMQNode(tmp_path)
    with socket.create_server(("127.0.0.1", node.port)) as other:
        node.start()
        try:
            assert answers(node.port)
            assert node.port != other.getsockname()[1]
        finally:
            node.stop()
