"""The driver contract, for every driver and every pair of servers."""

import uuid

import msgpack
import pytest

from canvas.drivers import open_driver
from canvas.drivers.memory import open_memory
from canvas.errors import DecodeError, EncodeError
from canvas.model.message import EncodedMessage
from canvas.testing.contract import DriverContract


def close(driver):
    driver.close()


class TestMemory(DriverContract):
    @pytest.fixture
    def driver(self):
        return open_driver(url := f"memory://{uuid.uuid4()}", url)


class PackedCodec:
    """A form of messages that is not kombu's, so that nothing but the codec may read one."""

    def encode(self, message, exchange, routing_key, max_depth=200):
        info = {"exchange": exchange, "routing_key": routing_key}
        try:
            return msgpack.packb([*message[:4], {**message.properties, "delivery_info": info}])
        except (TypeError, ValueError) as exc:
            raise EncodeError(str(exc)) from exc

    def decode(self, payload, max_depth=200):
        try:
            return EncodedMessage(*msgpack.unpackb(payload))
        except (ValueError, TypeError, msgpack.UnpackException) as exc:
            raise DecodeError(f"not packed: {exc}") from exc

    def with_headers(self, payload, headers, redelivered=False):
        try:
            message = self.decode(payload)
        except DecodeError:
            return payload
        marked = {"redelivered": True} if redelivered else {}
        info = message.properties["delivery_info"]
        changed = message._replace(headers={**message.headers, **marked, **headers})
        return self.encode(changed, info["exchange"], info["routing_key"])

    def headers_of(self, payload):
        try:
            return self.decode(payload).headers
        except DecodeError:
            return {}

    def priority_of(self, payload):
        try:
            return self.decode(payload).properties.get("priority") or 0
        except DecodeError:
            return 0


class TestAnotherFormOfMessages(DriverContract):
    codec = PackedCodec()

    @pytest.fixture
    def driver(self):
        return open_memory(f"memory://{uuid.uuid4()}", codec=self.codec)


class TestRedis(DriverContract):
    @pytest.fixture
    def driver(self, redis_url, result_url):
        driver = open_driver(redis_url, result_url)
        yield driver
        close(driver)


class TestRedisOneDatabase(DriverContract):
    @pytest.fixture
    def driver(self, redis_url):
        driver = open_driver(redis_url, redis_url)
        yield driver
        close(driver)


class TestRedisPrefixed(DriverContract):
    @pytest.fixture
    def driver(self, redis_server, redis_url, result_url):
        options = {"global_keyprefix": "pfx:"}
        driver = open_driver(redis_url, result_url, broker_options=options, result_options=options)
        yield driver
        close(driver)
        keys = [key for db in (0, 1) for key in redis_server.client(db).keys()]
        assert all(key.startswith(b"pfx:") for key in keys)


class TestRedisUnixSocket(DriverContract):
    @pytest.fixture
    def driver(self, redis_server, redis_url):
        path = f"redis+socket://{redis_server.folder}/redis.sock"
        driver = open_driver(f"{path}?virtual_host=0", f"{path}?virtual_host=1")
        yield driver
        close(driver)


class TestTwoServers(DriverContract):
    """Broker and results apart: in steps."""

    @pytest.fixture
    def driver(self, redis_url, own_server):
        own_server.client().flushall()
        driver = open_driver(redis_url, own_server.url(0))
        yield driver
        close(driver)


class TestMemoryBrokerRedisResults(DriverContract):
    @pytest.fixture
    def driver(self, redis_url):
        driver = open_driver(f"memory://{uuid.uuid4()}", redis_url)
        yield driver
        close(driver)


class TestRedisBrokerMemoryResults(DriverContract):
    @pytest.fixture
    def driver(self, redis_url):
        driver = open_driver(redis_url, f"memory://{uuid.uuid4()}")
        yield driver
        close(driver)
