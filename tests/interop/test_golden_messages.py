"""What canvas sends equals what Celery 5.7 sent, field by field; ids, tags, hosts and times apart."""

import base64
import datetime
import json
import re
from pathlib import Path

import pytest

from canvas import Canvas, chord, group
from canvas.model.ids import Lineage
from canvas.wire import compression, typed_json

GOLDEN = Path(__file__).parent.parent / "golden"
REPLY_TO = "11111111-2222-3333-4444-555555555555"
MOMENT = datetime.datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.UTC)


def make_app(**settings):
    app = Canvas("gapp", broker="memory://", backend="memory://", **settings)
    app._local_oid.value = (__import__("os").getpid(), REPLY_TO)
    for name in ("add", "mul", "echo", "tsum", "noop", "onerr", "onerr_old"):
        app.task(name=f"gapp.{name}", typing=False)(lambda *args, **kwargs: None)
    return app


class Cases:
    """Each golden file's call. A case returns a signature, or ``(signature, options)``."""

    def __init__(self, app):
        for name in ("add", "mul", "echo", "tsum", "noop", "onerr", "onerr_old"):
            setattr(self, f"_{name}", app.tasks[f"gapp.{name}"])
        self._app = app

    def _call(self, task_id, *args, **options):
        return self._add.s(*(args or (1, 1))), {"task_id": task_id, **options}

    def simple(self):
        return self._call("t-simple", 2, 3)

    def args_kwargs(self):
        args = (1, "two", None, [3, {"a": 4.5}], "é世")
        return self._echo.s(*args, k="v", n={"deep": [True]}), {"task_id": "t-akw"}

    def no_args(self):
        return self._noop.s(), {"task_id": "t-noargs"}

    def chain3(self):
        return self._add.s(1, 1) | self._mul.s(3) | self._add.s(4)

    def chain_group_last(self):
        return self._add.s(1, 1) | group(self._add.s(10), self._add.s(20))

    def chain_group_middle(self):
        return self._add.s(1, 1) | group(self._add.s(10), self._add.s(20)) | self._tsum.s() | self._add.s(5)

    def chain_link_error(self):
        return (self._add.s(1, 1) | self._mul.s(3)).on_error(self._onerr_old.s())

    def chord3(self):
        header = [self._add.s(i, i).set(task_id=f"h-{i}") for i in range(3)]
        return chord(header, self._tsum.s().set(task_id="body"))

    def chord_body_group(self):
        return chord([self._add.s(1, 1), self._add.s(2, 2)], group(self._echo.s(1), self._echo.s(2)))

    def chord_link_error(self):
        return chord([self._add.s(1, 1), self._add.s(2, 2)], self._tsum.s().on_error(self._onerr_old.s()))

    def chord_nested(self):
        inner = chord([self._add.s(1, 1), self._add.s(2, 2)], self._tsum.s())
        return chord([inner, self._add.s(3, 3)], self._tsum.s())

    def chord_of_chains_chain_body(self):
        return chord([self._add.s(i, i) | self._mul.s(2) for i in range(2)], self._tsum.s() | self._add.s(1))

    def chunks(self):
        return self._add.chunks([(i, i) for i in range(5)], 2)

    def countdown(self):
        return self._call("t-countdown", countdown=10)

    def eta(self):
        return self._call("t-eta", eta=MOMENT)

    def eta_naive(self):
        return self._call("t-eta-naive", eta=MOMENT.replace(tzinfo=None))

    def eta_offset(self):
        zone = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
        return self._call("t-eta-off", eta=MOMENT.astimezone(zone))

    def expires_datetime(self):
        return self._call("t-expdt", expires=MOMENT)

    def expires_seconds(self):
        return self._call("t-exp", expires=60)

    def group3(self):
        return group(self._add.s(i, i) for i in range(3)), {"task_id": "g-1"}

    def group_of_chains(self):
        return group(self._add.s(i, i) | self._mul.s(i + 1) for i in (1, 2))

    def immutable(self):
        return self._add.s(1, 1) | self._mul.si(2, 2) | self._add.si(3, 3)

    def json_extended_types(self):
        values = json.loads((GOLDEN / "msg" / "json_extended_types.json").read_text())["messages"][0]
        args = typed_json.loads(json.dumps(values["view"]["body_decoded"][0]))
        return self._echo.s(*(tuple(arg) if isinstance(arg, list) else arg for arg in args)), {"task_id": "t-jsonx"}

    def link(self):
        callback, errback = self._add.s(16).set(task_id="t-link-cb"), self._onerr_old.s().set(task_id="t-link-eb")
        return self._call("t-link", 2, 2, link=callback, link_error=errback)

    def link_multi(self):
        callbacks, errbacks = [self._add.s(1), self._mul.si(2, 3)], [self._onerr.s(), self._onerr_old.s()]
        return self._call("t-linkm", 2, 2, link=callbacks, link_error=errbacks)

    def long_argsrepr(self):
        found = json.loads((GOLDEN / "msg" / "long_argsrepr.json").read_text())["messages"][0]
        return self._echo.s(*found["view"]["body_decoded"][0]), {"task_id": "t-long"}

    def map(self):
        return self._tsum.map([[1, 2], [3, 4]]), {"task_id": "t-map"}

    def starmap(self):
        return self._add.starmap([(1, 2), (3, 4)]), {"task_id": "t-starmap"}

    def options_misc(self):
        return self._call(
            "t-opts", shadow="shadowed", retries=2, time_limit=30, soft_time_limit=20, argsrepr="<a>",
            kwargsrepr="<k>", ignore_result=True, headers={"x-custom": "h"}, correlation_id="cid",
            reply_to="my-reply",
        )  # fmt: skip

    def queue_named(self):
        return self._call("t-queue", queue="other")

    def send_task_by_name(self):
        return self._app.signature("remote.task", (1,), {"a": 2}), {"task_id": "t-send"}

    def serializer_msgpack(self):
        return self._echo.s(1, b"\x00\xff", {"a": 1.5}, k="v"), {"task_id": "t-msgpack", "serializer": "msgpack"}

    def compression_gzip(self):
        return self._call("t-gzip", compression="gzip")

    def compression_bzip2(self):
        return self._call("t-bzip2", compression="bzip2")

    def compression_lzma(self):
        return self._call("t-lzma", compression="lzma")

    def compression_zstd(self):
        return self._call("t-zstd", compression="zstd")

    def compression_brotli(self):
        return self._call("t-brotli", compression="brotli")

    def signature_options(self):
        return self._add.s(1, 1) | self._add.s(2).set(queue="other", priority=6, expires=99, countdown=3)

    def stamped(self):
        return self._call("t-stamp", stamped_headers=["tags", "mtask_id"], tags=["a", "b"], mtask_id="m-1")


def sent(app, case):
    found = getattr(Cases(app), case)()
    sig, options = found if isinstance(found, tuple) else (found, {})
    plan = app.plan(sig, (), {}, options)
    return [json.loads(out.publish.payload) for out in app.client.outgoing(plan.calls, Lineage())]


def decoded(envelope):
    body = base64.b64decode(envelope["body"])
    kind = envelope["headers"].get("compression")
    if kind:
        body = compression.decompress(body, kind, max_bytes=1 << 20)
    if envelope["content-type"] == "application/x-msgpack":
        import msgpack

        body = json.dumps(msgpack.unpackb(body), default=lambda raw: {"__base64__": base64.b64encode(raw).decode()})
    properties = {k: v for k, v in envelope["properties"].items() if k != "delivery_tag"}
    return {
        "headers": {k: v for k, v in envelope["headers"].items() if k != "origin"},
        "properties": properties,
        "types": [envelope["content-type"], envelope["content-encoding"]],
        "body": json.loads(body),
    }


def comparable(messages):
    """Generated ids as numbers in order of appearance, relative times as a word."""
    text = json.dumps(sorted(messages, key=order), sort_keys=True)
    names = {}
    generated = (
        r"(?<![\w-])[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|00000000-0000-4000-8000-\d{12}"
    )
    text = re.sub(generated, lambda m: names.setdefault(m[0], f"id{len(names)}"), text)
    text = re.sub(r'"expiration": "\d{7,}"', '"expiration": "long"', text)
    # The time that passes before the message is written counts: tens of seconds, rounded up.
    text = re.sub(r'"expiration": "(\d+)"', lambda m: f'"expiration": "{-(-int(m[1]) // 10_000)}0 s"', text)
    return json.loads(re.sub(r"20\d\d-\d\d-\d\dT[\d:.]+\+00:00", "soon", text))


def order(message):
    """Messages of one group stand by their index, those of nested ones by their arguments."""
    body = message["body"]
    return str(body["args"] if isinstance(body, dict) else body[:2])


V2 = [name for name in vars(Cases) if not name.startswith("_")]
V1 = ["simple", "args_kwargs", "chain3", "chord3", "countdown", "eta", "expires_seconds", "json_extended_types", "link"]


@pytest.mark.parametrize("case", V2)
def test_protocol_2(case):
    golden = json.loads((GOLDEN / "msg" / f"{case}.json").read_text())["messages"]
    expected = comparable([decoded(json.loads(message["raw"])) for message in golden])
    assert comparable([decoded(message) for message in sent(make_app(), case)]) == expected


@pytest.mark.parametrize("case", V1)
def test_protocol_1(case):
    golden = json.loads((GOLDEN / "msg_v1" / f"{case}.json").read_text())["messages"]
    expected = comparable([decoded(json.loads(message["raw"])) for message in golden])
    assert comparable([decoded(message) for message in sent(make_app(task_protocol=1), case)]) == expected


def test_what_json_has_no_form_for_is_refused_by_name():
    from canvas.errors import EncodeError

    app = make_app()
    for value in ({1, 2}, datetime.timedelta(1), 1j, object()):
        with pytest.raises(EncodeError, match=type(value).__name__):
            app.tasks["gapp.echo"].delay(value)


def test_priorities_choose_their_list():
    app = make_app()
    golden = json.loads((GOLDEN / "msg" / "priority.json").read_text())["messages"]
    for message in golden:
        given = json.loads(message["raw"])["properties"]["priority"]
        sig = app.tasks["gapp.add"].s(1, 1)
        plan = app.plan(sig, (), {}, {"priority": given})
        (out,) = app.client.outgoing(plan.calls, Lineage())
        assert json.loads(out.publish.payload)["properties"]["priority"] == given
