"""The Redis driver (protocol.md §1, §5; docs/reference/keys.md)."""

from collections.abc import Mapping
from typing import Any

from canvas.drivers.ports import BrokerParts, Driver, StoreParts
from canvas.drivers.ports.capabilities import STORE_OF_ALL
from canvas.drivers.ports.message_state import StateParts
from canvas.drivers.ports.schedules import ScheduleStore
from canvas.drivers.ports.settler import Settler
from canvas.drivers.redis.broker import RedisBroker
from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.results.store import RedisResults
from canvas.drivers.redis.schedules import RedisSchedules
from canvas.drivers.redis.settler import RedisSettler
from canvas.drivers.redis.url import parse
from canvas.drivers.two_step import TwoStepSettler
from canvas.drivers.two_step_schedules import two_step_schedules


def open_broker(url: str, options: Mapping[str, Any]) -> BrokerParts:
    """A broker at a Redis URL. Raises ConfigurationError for an invalid URL; connects at first use."""
    return _parts(RedisBroker(RedisClient(parse(url, options)), options))


def open_results(url: str, options: Mapping[str, Any]) -> StoreParts:
    """A store at a Redis URL, with chords and runs."""
    results = RedisResults(RedisClient(parse(url, options)), options)
    return StoreParts(results, results, results, STORE_OF_ALL)


def open_redis(
    broker_url: str, result_url: str, *, broker_options: Mapping[str, Any], result_options: Mapping[str, Any]
) -> Driver:
    """Broker and results on Redis: an atomic settler where they are one server, one in two steps otherwise."""
    broker = RedisBroker(RedisClient(parse(broker_url, broker_options)), broker_options)
    results = RedisResults(RedisClient(parse(result_url, result_options)), result_options)
    store = StoreParts(results, results, results, STORE_OF_ALL)
    if broker.link.address.server() == results.link.address.server():
        schedules = RedisSchedules(broker, results)
        return Driver.of(broker.parts(), store, RedisSettler(broker, results), "redis", schedules)
    settler, parts = TwoStepSettler(broker, results, results), _parts(broker)
    return Driver.of(parts, store, settler, "redis", two_step_schedules(parts, store))


def open_with_replies(url: str, broker_options: Mapping[str, Any], rpc: Mapping[str, Any]) -> Driver:
    """A broker whose results are messages; ``rpc``: the fields of RpcOptions."""
    # Imported late: few apps on Redis have such results.
    from canvas.drivers.redis.rpc.queue import RedisReplyQueue
    from canvas.drivers.redis.rpc.settler import RpcSettler
    from canvas.drivers.rpc.replies import RpcOptions
    from canvas.drivers.rpc.results import RpcResults

    broker = RedisBroker(RedisClient(parse(url, broker_options)), broker_options)
    queue = RedisReplyQueue(broker, RpcOptions(**rpc))
    store = StoreParts(RpcResults(queue), None, None, frozenset())
    return Driver.of(_parts(broker), store, RpcSettler(broker, queue), "redis")


def open_state(url: str, options: Mapping[str, Any], store: StoreParts | None) -> StateParts:
    """The state of messages that another broker carries, at a Redis URL; ``store``: where the results are."""
    # Imported late: only apps whose broker is not Redis need it.
    from canvas.drivers.redis.message_state import StateBroker

    broker = StateBroker(RedisClient(parse(url, options)), options)
    results = store.results if store is not None else None
    parts = broker.parts()
    if isinstance(results, RedisResults) and results.link.address.server() == broker.link.address.server():
        settler: Settler = RedisSettler(broker, results)
        schedules: ScheduleStore | None = RedisSchedules(broker, results)
    else:
        settler = TwoStepSettler(broker, results, store.chords if store is not None else None)
        schedules = two_step_schedules(_parts(broker), store)
    return StateParts(
        broker,
        broker.check,
        broker.close,
        parts.admin,
        parts.coordination,
        parts.recovery,
        schedules,
        settler,
        broker.connect,
    )


def _parts(broker: RedisBroker) -> BrokerParts:
    return broker.parts()._replace(schedules=RedisSchedules(broker, None))
