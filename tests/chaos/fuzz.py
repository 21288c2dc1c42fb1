"""Fuzzing led by coverage, over all that reads what others wrote. ``python -m tests.chaos.fuzz -max_total_time=300``

An input is a byte that says what the rest is, and the rest. Whatever it is must come to a settlement that a broker
takes, to a record, or to an error of canvas' own.
"""

import json
import logging
import sys
import tempfile
import time
from base64 import b64decode, b64encode
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["canvas"]):
    from canvas import Canvas
    from canvas.drivers.amqp.channels.link import CHANNEL
    from canvas.drivers.amqp.contents import Outgoing, due_of, to_content, to_payload
    from canvas.drivers.amqp.delays.delay_queue import step_of
    from canvas.drivers.amqp.outboxes import Destinations
    from canvas.drivers.amqp.protocol import frames
    from canvas.drivers.amqp.protocol.frames import Delivered, FrameReader, method_frame
    from canvas.drivers.kombu_envelope import ENVELOPE
    from canvas.errors import CanvasError
    from canvas.model.message import Delivery
    from canvas.model.settlement import ReadyChord, ResultWrite, Settlement
    from canvas.wire import task_message as wire
    from canvas.worker.options import WorkerOptions
    from canvas.worker.process import WorkerProcess

GOLDEN = Path(__file__).parent.parent / "golden"
HEADERS = {"lang": "py", "task": "f.add", "id": "fuzz", "root_id": "fuzz", "parent_id": None, "group": "g",
           "group_index": 0, "retries": 0, "timelimit": [None, None], "eta": None, "expires": None}  # fmt: skip


def _app():
    app = Canvas("fuzz", broker="memory://fuzz", backend="memory://fuzz", accept_content=["json", "msgpack"])

    @app.task(name="f.add")
    def add(x=0, y=0):
        return x if isinstance(x, str | list | dict) else y

    @app.task(name="f.fail")
    def fail(*args, **kwargs):
        raise ValueError("always")

    return app


APP = _app()
PLAN = WorkerOptions("here", ["celery"], 1, "solo", 0, False, None, None, None, False, False, None)
DESTINATIONS = Destinations(None, None, time.time)
LINE = WorkerProcess(APP, PLAN, 1, "worker")._pipeline


def run(payload):
    """A message, all the way into the broker."""
    settlement = LINE.do(Delivery("canvas:worker:0", "celery", payload))
    assert isinstance(settlement, Settlement)
    APP.driver.settler.settle([settlement._replace(fence="none")])


def body(data):
    """A message with this JSON body."""
    run(wrapped(HEADERS, data))


def headers(data):
    """A message with these headers among its own."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(found, dict):
        run(
            wrapped(
                {**HEADERS, **found}, b'[[1], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
            )
        )


def wrapped(head, data):
    outer = {"body": b64encode(data).decode(), "content-type": "application/json", "content-encoding": "utf-8",
             "headers": head, "properties": {"body_encoding": "base64", "delivery_tag": "t", "priority": 0}}  # fmt: skip
    return json.dumps(outer).encode()


def packed(data):
    """A message whose body is msgpack."""
    outer = json.loads(wrapped(HEADERS, data))
    run(json.dumps({**outer, "content-type": "application/x-msgpack"}).encode())


def record(data):
    """A result that somebody else stored."""
    APP.driver.results.store([ResultWrite("record", data, 60, False)])
    result = APP.AsyncResult("record")
    try:
        repr((result.state, result.result, result.children, result.traceback, result.date_done))
    except CanvasError:
        return
    finally:
        APP.driver.results.forget(["record"])


def command(data):
    """What comes on the channel of remote control."""
    try:
        wire.decode_plain(ENVELOPE.decode(data))
    except CanvasError:
        return


def end(data):
    """A chord's end and parts as they are kept."""
    fire, _, part = data.partition(b"\n")
    APP.driver.settler.dispatch_chord(LINE.complete_chord(ReadyChord("g", fire, [part] if part else [], None)))


def amqp(data):
    """What a RabbitMQ server sends after a delivery: the properties, headers and body of a message."""
    deliver = method_frame(CHANNEL, 60, 60, b"\x01c", bytes(8), b"\x00\x00\x06celery")
    try:
        found = list(FrameReader().feed(deliver + data))
    except CanvasError:
        return
    for one in found:
        if isinstance(one, Delivered):
            payload, message_id, _ = to_payload(one.content, one.exchange, one.routing_key)
            run(payload)
            copy = Outgoing(message_id, "", "celery", payload, due_of(one.content))
            DESTINATIONS.copies([copy._replace(due=0.0)])
            step_of(copy.due)


KINDS = (run, body, headers, packed, record, command, end, amqp)


def test_one_input(data):
    """What atheris calls."""
    if data:
        KINDS[data[0] % len(KINDS)](data[1:])


def corpus(folder):
    """Real messages, bodies and records to begin with."""
    number = 0
    for path in sorted(GOLDEN.glob("msg*/*.json")):
        for found in json.loads(path.read_text())["messages"]:
            outer = json.loads(found["raw"])
            data = b64decode(outer["body"])
            published = frames.publish(CHANNEL, "", "celery", to_content(found["raw"].encode()))
            contents = published[published.index(b"\xce\x02") + 1 :]
            texts = ((0, found["raw"].encode()), (1, data), (2, json.dumps(outer["headers"]).encode()), (7, contents))
            for kind, text in texts:
                (folder / str(number)).write_bytes(bytes([kind]) + text)
                number += 1
    (folder / "end").write_bytes(
        b'\x06{"body": {"task": "f.add"}, "root_id": null, "parent_id": null}\n[1, "a", "SUCCESS", 1]'
    )


def main():
    """Fuzz until the time is over, or something raises."""
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        corpus(Path(folder))
        atheris.Setup([*sys.argv, folder, "-max_len=20000", "-timeout=20"], test_one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
