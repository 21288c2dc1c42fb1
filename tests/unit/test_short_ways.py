"""The short ways that a plain task's message and record take give what the general ways give."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from canvas import AsyncResult, Canvas
from canvas.drivers.redis.scripts.arguments import is_plain
from canvas.errors import CanvasError, EncodeError
from canvas.model import states
from canvas.model.message import Delivery, EncodedMessage, Publish
from canvas.model.record import Record
from canvas.model.settlement import ResultWrite, Settlement
from canvas.wire import record, task_message, typed_json
from canvas.wire.signing import UNSIGNED

HEADERS = {"task": "t", "id": "one"}
BODIES = [
    b'[[1, "a"], {"k": null}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]',
    b"[[], {}, null]",
    b"[[], {}, {}]",
    b'[[], {}, {"chain": [{"task": "next"}], "chord": {"task": "body"}}]',
    b'[[{"__type__": "uuid", "__value__": {"hex": "00000000000000000000000000000001"}}], {}, {}]',
    b'[["\\ud800"], {}, {}]',
    b"[[NaN], {}, {}]",
    b"[{}, {}, {}]",
    b"[[], [], {}]",
    b"[[], {}]",
    b"[[], {}, 1]",
    b'[[], {}, {"chain": 1}]',
    b'{"args": [1], "kwargs": {}, "task": "t", "id": "one"}',
    b"[[" + b"[" * 300 + b"]" * 300 + b"], {}, {}]",
    b"not JSON",
    b"",
]


def decoded(headers, body, general):
    message = EncodedMessage(body, "application/json", "utf-8", headers, {"priority": 1})
    # A signer is asked only in the general way; this one does not sign, and says so there alone.
    with pytest.MonkeyPatch.context() as patch:
        if general:
            patch.setattr(task_message, "LONG", 0)
            patch.setattr(task_message, "body_with_links", lambda data, max_depth: None)
        try:
            return task_message.decode(message, accept=("json",), signer=UNSIGNED)
        except CanvasError as exc:
            return type(exc), str(exc)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(
    "headers", [HEADERS, {"task": "t"}, {"id": "one"}, {"task": "", "id": 1}, {**HEADERS, "id": "\ud800"}]
)
def test_a_message_is_read_as_in_the_general_way(headers, body):
    assert repr(decoded(headers, body, False)) == repr(decoded(headers, body, True))


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


STARTED = "2020-01-01T00:00:00.000001+00:00"


@pytest.mark.parametrize("around", [(None, None), ("g", None), ("g", "p"), ('"quoted"', "ü"), (None, "p", STARTED)])
@pytest.mark.parametrize(
    "value",
    [None, 0, -1.5, True, "text", 'ü"\n', [], [1, [2]], {"k": {"l": None}}, (1, 2), float("inf"), datetime(2020, 1, 1),
     b"bytes", AsyncResult("id"), "\ud800", nested(150), nested(198), nested(199), nested(250), object()],
)  # fmt: skip
def test_a_success_is_written_as_in_the_general_way(value, around):
    def written(way):
        try:
            return way()
        except EncodeError as exc:
            return str(exc)

    children = [("child", None)]
    facts = ("id", value, children, "2020-01-01T00:00:00.000001+00:00", *around)
    started = {"date_start": around[2]} if len(around) > 2 else {}
    short = written(lambda: record.encode_success(*facts[:6], **started))
    whole = Record("id", states.SUCCESS, value, None, children, facts[3], *around[:2], started)
    general = written(lambda: record.encode(whole))
    if isinstance(general, bytes):
        assert json.loads(short) == json.loads(general)
        assert record.says_success(short[: record.HEAD])
    else:
        assert isinstance(short, str)
    part = written(lambda: record.encode_part('a "part"', states.SUCCESS, value))
    if isinstance(part, bytes):
        of_handle = value.as_tuple() if isinstance(value, AsyncResult) else value
        assert part == typed_json.dumps([1, 'a "part"', states.SUCCESS, of_handle])
    else:
        assert part == general


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Kolkata", "America/St_Johns"])
def test_the_time_of_a_result_is_the_time_in_the_apps_zone(zone):
    app = Canvas("zones", broker="memory://", backend="memory://", set_as_current=False)
    if zone is not None:
        app.conf.timezone = zone
    app.clock_offset = 86_400.0
    for _ in range(3):
        before, text, after = app.now(), app.backend.date_done(), app.now()
        assert before.replace(microsecond=before.microsecond // 10 * 10) <= datetime.fromisoformat(text) <= after
        assert datetime.fromisoformat(text).utcoffset() == before.utcoffset()
    app.conf.timezone = "Asia/Tokyo"
    assert app.backend.date_done().endswith("+09:00")
    assert abs(datetime.fromisoformat(app.backend.date_done()) - app.now()).total_seconds() < 5
    assert datetime.fromisoformat(app.backend.date_done()).astimezone(UTC).tzinfo is UTC


def test_what_is_computed_once_follows_the_settings():
    app = Canvas("kept", broker="memory://", backend="memory://", set_as_current=False)
    app.conf.result_expires = timedelta(days=40)
    assert app.backend.chord_lives == 40 * 86_400
    app.conf.result_chord_expires = 50 * 86_400
    assert app.backend.chord_lives == 50 * 86_400
    assert app.sender.delays({}, []) is None
    app.conf.task_publish_retry_policy = {"max_retries": 2, "interval_start": 0, "interval_step": 0}
    assert len(list(app.sender.delays({}, []))) == 2


SUCCESS = ResultWrite("one", b'{"status":"SUCCESS","result":null}', 60, True)
ALONE = Settlement(Delivery("canvas:w:1", "q", b"{}"), stores=[SUCCESS])


def test_an_ack_and_a_success_are_told_to_redis_in_short():
    assert is_plain(ALONE)


def test_a_success_with_one_part_of_a_chord_is_told_in_short():
    with_part = ALONE._replace(parts=[object()])
    assert is_plain(with_part)
    assert not is_plain(with_part, carried=True)
    assert not is_plain(with_part._replace(publishes=[Publish("", "q", 0, b"{}")]))


def test_a_success_with_a_successor_that_is_passed_apart_is_told_in_short():
    with_successor = ALONE._replace(publishes=[Publish("", "q", 0, b"{}")])
    assert is_plain(with_successor, carried=True)
    assert not is_plain(with_successor)
    assert not is_plain(with_successor._replace(fence="none"), carried=True)


@pytest.mark.parametrize("field", Settlement._fields)
def test_a_settlement_with_anything_more_is_told_in_full(field):
    others = {
        "delivery": [None],
        "fence": ["early_acked", "none"],
        "early_ack": [True],
        "stores": [
            [],
            [SUCCESS, SUCCESS],
            [SUCCESS._replace(payload=b'{"status":"FAILURE"}')],
            [SUCCESS._replace(payload=b"x")],
        ],
        "parts": [[object(), object()]],
        "disposal": ["requeue", "redeliver", "dead_letter"],
        "reason": [],
        "sent": [],  # reported by the process itself once the settlement is done
        "ending": [],  # tells the process what to do when the settlement is refused
    }
    for value in others.get(field, [[object()]]):
        assert not is_plain(ALONE._replace(**{field: value}))
