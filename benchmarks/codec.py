"""Microseconds to make and encode, and to decode, one message, beside kombu with Celery: both protocols, JSON and
msgpack."""

import timeit
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from benchmarks.arena import machine
from canvas import Canvas
from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.model.compiled import TaskCall
from canvas.wire import task_message as wire

CALLS = {
    "no args": ([], {}),
    "args": ([1, "two", 3.0], {}),
    "kwargs": ([], {"a": 1, "b": "two", "c": 3.0}),
    "both": ([1, "two", 3.0], {"a": 1, "b": "two", "c": 3.0}),
}
_REPEAT = 5
_NUMBER = 2_000
_ACCEPT = frozenset({"json", "msgpack"})


def microseconds(call: Callable[[], Any]) -> float:
    """The best of some repetitions."""
    return min(timeit.repeat(call, number=_NUMBER, repeat=_REPEAT)) / _NUMBER * 1e6


def ours(protocol: int, serializer: str, args: list[Any], kwargs: dict[str, Any]) -> tuple[float, float]:
    """canvas: encode, decode."""
    app = Canvas("bench", broker="memory://")
    app.conf.task_protocol = protocol
    dispatch = TaskCall("bench.noop", tuple(args), kwargs, {"task_id": str(uuid4()), "serializer": serializer})

    def encode() -> bytes:
        return app.client.outgoing([dispatch], app.lineage())[0].publish.payload

    payload = encode()
    return microseconds(encode), microseconds(lambda: wire.decode(ENVELOPE.decode(payload), accept=_ACCEPT))


def theirs(protocol: int, serializer: str, args: list[Any], kwargs: dict[str, Any]) -> tuple[float, float]:
    """kombu's envelope around what Celery's AMQP makes: encode, decode."""
    from celery import Celery
    from kombu.serialization import dumps as serialize
    from kombu.transport.virtual import Base64
    from kombu.transport.virtual import Message as Received
    from kombu.utils.json import dumps, loads

    task_id, codec = str(uuid4()), Base64()
    app = Celery("bench", broker="memory://")
    make = app.amqp.task_protocols[protocol]

    class Channel:
        """As much of a channel as a message decodes itself with."""

        no_ack_consumers: Any = None

        def decode_body(self, body: Any, encoding: str | None = None) -> Any:
            return codec.decode(body) if encoding else body

    def encode() -> str:
        headers, properties, body, _ = make(task_id, "bench.noop", args, kwargs)
        content_type, encoding, data = serialize(body, serializer)
        data = data.encode() if isinstance(data, str) else data
        properties = {**properties, "body_encoding": "base64", "delivery_tag": task_id,
                      "delivery_info": {"exchange": "", "routing_key": "celery"}}  # fmt: skip
        return str(dumps({"body": codec.encode(data), "content-encoding": encoding, "content-type": content_type,
                          "headers": headers, "properties": properties}))  # fmt: skip

    payload, channel = encode(), Channel()
    accept = {"application/json", "application/x-msgpack"}
    return (
        microseconds(encode),
        microseconds(lambda: Received(loads(payload), channel=channel, accept=accept).decode()),
    )


def main() -> None:
    """Print the table."""
    print(f"µs a message, best of {_REPEAT}; {machine()}")
    print(f"{'':<24} {'canvas':>16}   {'kombu, Celery':>16}")
    print(f"{'':<24} {'encode':>8}{'decode':>8}   {'encode':>8}{'decode':>8}")
    for protocol in (2, 1):
        for serializer in ("json", "msgpack"):
            for name, (args, kwargs) in CALLS.items():
                mine, other = (side(protocol, serializer, args, kwargs) for side in (ours, theirs))
                title = f"v{protocol} {serializer} {name}"
                print(f"{title:<24} {mine[0]:>8.1f}{mine[1]:>8.1f}   {other[0]:>8.1f}{other[1]:>8.1f}")


if __name__ == "__main__":
    main()
