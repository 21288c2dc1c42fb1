"""The Redis driver (protocol.md §1, §5; docs/reference/keys.md)."""

from collections.abc import Mapping
from typing import Any

from canvas.drivers.ports import Driver
from canvas.drivers.redis.broker import RedisBroker
from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.results import RedisResults
from canvas.drivers.redis.settler import RedisSettler
from canvas.drivers.redis.url import parse
from canvas.drivers.two_step import TwoStepSettler


def open_broker(url: str, options: Mapping[str, Any]) -> RedisBroker:
    """A broker at a Redis URL. Raises ConfigurationError for a URL that is none; connects at first use."""
    return RedisBroker(RedisClient(parse(url, options)), options)


def open_results(url: str, options: Mapping[str, Any]) -> RedisResults:
    """Results at a Redis URL."""
    return RedisResults(RedisClient(parse(url, options)), options)


def open_redis(
    broker_url: str, result_url: str, *, broker_options: Mapping[str, Any], result_options: Mapping[str, Any]
) -> Driver:
    """Broker and results on Redis: one atomic settler where they are one server, a stepwise one otherwise."""
    broker = open_broker(broker_url, broker_options)
    results = open_results(result_url, result_options)
    if broker.link.address.server() == results.link.address.server():
        return Driver(broker, results, RedisSettler(broker, results), "redis")
    return Driver(broker, results, TwoStepSettler(broker, results), "redis")
