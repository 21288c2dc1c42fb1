"""A URL whose scheme is wrong about TLS: refused at the first connection, with the scheme to write."""

import asyncio
import socketserver
import subprocess
import threading
import time

import pytest

from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.connection.tls import answers_without_tls
from canvas.drivers.redis.url import parse
from canvas.errors import BrokerError, OperationalError
from canvas.testing.contract import eventually
from canvas.testing.embedded_redis import find_server
from tests.support.redis_server import free_port
from tests.support.tls import TlsFront


@pytest.fixture(scope="module", params=[False, True], ids=["server", "mutual"])
def front(request, redis_server, tmp_path_factory):
    with TlsFront(redis_server.port, tmp_path_factory.mktemp("tls"), request.param) as front:
        yield front


@pytest.fixture
def ping():
    clients = []

    def ping(url, awaited, **options):
        clients.append(RedisClient(parse(url, options)))
        return asyncio.run(clients[-1].acommand("PING")) if awaited else clients[-1].command("PING")

    yield ping
    for one in clients:
        one.close()


@pytest.mark.parametrize("awaited", [False, True], ids=["call", "awaited"])
def test_no_tls_where_the_url_has_some(ping, redis_server, awaited):
    with pytest.raises(BrokerError, match="has no TLS on this port: write redis:// instead of rediss://") as refused:
        ping(f"rediss://127.0.0.1:{redis_server.port}/0", awaited)
    assert not isinstance(refused.value, OperationalError)  # which would be tried again


@pytest.mark.parametrize("awaited", [False, True], ids=["call", "awaited"])
def test_no_tls_where_a_line_break_in_the_handshake_ends_a_command(ping, awaited):
    class Answer(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(1 << 16)
            self.request.sendall(b"-ERR unknown command\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(BrokerError, match="has no TLS on this port") as refused:
            ping(f"rediss://127.0.0.1:{server.server_address[1]}/0", awaited)
        server.shutdown()
    assert not isinstance(refused.value, OperationalError)


@pytest.mark.parametrize("awaited", [False, True], ids=["call", "awaited"])
def test_tls_where_the_url_has_none(ping, front, awaited):
    with pytest.raises(BrokerError, match="expects TLS on this port: write rediss:// instead of redis://") as refused:
        ping(f"redis://127.0.0.1:{front.port}/0", awaited)
    assert not isinstance(refused.value, OperationalError)


@pytest.mark.parametrize("awaited", [False, True], ids=["call", "awaited"])
def test_a_server_with_tls_that_answers_late_is_waited_for(ping, redis_server, tmp_path, awaited):
    with TlsFront(redis_server.port, tmp_path) as late:
        late.do(lambda: time.sleep(1.5))
        assert ping(late.url(0), awaited) in (b"PONG", True)


@pytest.fixture(scope="module")
def sentinel_url(redis_server, tmp_path_factory):
    """A sentinel of the masters ``plain`` and ``secured``, of which it does not notice that it cannot talk to the second
    one: their names decide what a URL leads to."""
    folder = tmp_path_factory.mktemp("sentinel")
    with TlsFront(redis_server.port, folder) as front:
        port, configuration = free_port(), folder / "sentinel.conf"
        masters = {"plain": redis_server.port, "secured": front.port}
        watched = [
            f"sentinel monitor {name} 127.0.0.1 {at} 1\nsentinel down-after-milliseconds {name} 600000\n"
            for name, at in masters.items()
        ]
        configuration.write_text(f"port {port}\nbind 127.0.0.1\n{''.join(watched)}")
        log = (folder / "log").open("wb")
        process = subprocess.Popen([find_server(), str(configuration), "--sentinel"], stdout=log, stderr=log)
        eventually(lambda: answers_without_tls("127.0.0.1", port))
        yield f"sentinel://127.0.0.1:{port}/0"
        process.kill()
        process.wait()
        log.close()


@pytest.mark.parametrize("awaited", [False, True], ids=["call", "awaited"])
def test_a_master_that_sentinels_name(ping, sentinel_url, awaited):
    assert ping(sentinel_url, awaited, master_name="plain") in (b"PONG", True)
    for master, ssl, mismatch in (("secured", None, "expects TLS on this port: set"), ("plain", True, "has no TLS")):
        with pytest.raises(BrokerError, match=f"{mismatch}.* broker_use_ssl.* sentinel:// URL") as refused:
            ping(sentinel_url, awaited, master_name=master, ssl=ssl)
        assert not isinstance(refused.value, OperationalError)
