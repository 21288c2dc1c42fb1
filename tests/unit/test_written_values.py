"""What serializers write and read: lazy text, registered types, exceptions in pickles, depth, pydantic's models."""

import json
import pickle
import subprocess
import sys
import textwrap
from collections import OrderedDict
from datetime import UTC, date, datetime, time
from decimal import Decimal
from uuid import UUID

import celery.exceptions
import kombu.exceptions
import pytest
import yaml
from celery import Celery
from celery.utils.serialization import UnpickleableExceptionWrapper, get_pickleable_exception
from kombu.utils import json as kombu_json

from canvas import Canvas, Signature, chain, chord, errors, group
from canvas.drivers.ports.values import Lease
from canvas.errors import DecodeError, EncodeError, RemoteError
from canvas.model import states
from canvas.model.record import Record
from canvas.wire import codecs, exceptions, record, typed_json
from tests.support import messages


class Point:
    def __init__(self, x):
        self.x = x

    def __repr__(self):
        return "Point()"

    def __json__(self):
        return {"x": self.x}


VALUES = [
    Point(1), Decimal("1.50"), UUID(int=7), datetime(2026, 1, 2, 3, 4, 5, 6, UTC), datetime(2026, 1, 2), date(2026, 1, 2),
    time(1, 2, 3), b"text", b"\xff\xfe", {"nested": [Point([Decimal(1)]), (1, 2)]}, float("inf"), "\ud800", 1.5, None,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_json_is_kombus(value):
    assert json.loads(typed_json.dumps(value)) == json.loads(kombu_json.dumps(value))
    assert typed_json.loads(typed_json.dumps(value)) == kombu_json.loads(kombu_json.dumps(value))


def test_lazy_text_of_django_is_written_as_text():
    code = """
    from canvas.wire import typed_json
    import django.conf
    django.conf.settings.configure(USE_I18N=True)
    django.setup()
    from django.utils.translation import gettext_lazy as _
    from django.utils.functional import lazystr
    from kombu.utils.json import dumps
    for value in ([_("hello")], {"a": _("x")}, lazystr(5), _("hello %(n)s") % {"n": 1}):
        assert typed_json.loads(typed_json.dumps(value)) == typed_json.loads(dumps(value)), value
    from canvas.wire import record
    from canvas.model.record import Record
    kept = record.decode(record.encode(Record("i", "FAILURE", ValueError(_("bad")))), accept=["json"])
    assert str(kept.result) == "bad"
    from canvas import Canvas
    from canvas.signals import before_task_publish
    app, seen = Canvas("lazy", broker="memory://lazy"), []
    note = lambda headers, **about: seen.append([str(headers[name]) for name in ("shadow", "argsrepr")])
    before_task_publish.connect(note, weak=False)
    app.send_task("a", shadow=_("hello"), argsrepr=lazystr(5))
    app.signature("a").set(shadow=_("hello"), argsrepr=lazystr(5)).apply_async()
    assert seen == [["hello", "5"]] * 2, seen
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def composites():
    a = Signature("a")
    members = group(a, a)
    return {
        "group": members, "empty group": group([]), "lazy group": group(a.clone() for _ in range(3)),
        "chain": chain(a, a), "chord": chord([a, a], a), "chord of groups": chord([members], members),
        "in data": {"x": [members, (a, members)]}, "ordered": OrderedDict(a=members),
    }  # fmt: skip


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml"])
@pytest.mark.parametrize("name", composites())
def test_signatures_are_written_by_every_serializer(serializer, name):
    """msgpack asks a map for its length, which is a group's number of members. Celery writes a broken message."""
    value = composites()[name]
    content_type, _, data = codecs.encode([value, "next"], serializer)
    assert codecs.decode(data, content_type, accept=[serializer]) == [json.loads(json.dumps(value)), "next"]


@pytest.mark.parametrize("serializer", ["msgpack", "yaml"])
def test_messages_with_signatures_are_written_by_every_serializer(serializer):
    where = f"memory://signatures-{serializer}"
    app = Canvas("signatures", broker=where, backend=where, task_serializer=serializer, set_as_current=False)

    @app.task(name="a")
    def a(*args):
        """Stands for any task."""

    follow = group(a.s(), a.si(1))
    calls = {
        "argument": lambda: a.delay(follow), "callback": lambda: a.apply_async(link=follow),
        "errback": lambda: a.apply_async(link_error=[follow, a.s()]), "body": lambda: chord([a.s()], follow).delay(),
        "step": (a.s() | follow | a.s()).delay, "errback of a step": (a.s() | a.s()).on_error(follow).delay,
    }  # fmt: skip
    for name, call in calls.items():
        call()
        (delivery,) = app.driver.broker.lease(Lease("w", ["celery"], 9, 30.0))
        message = messages.decode(delivery.payload, accept=[serializer])
        assert '"celery.group"' in json.dumps([message.args, message.embed]), name


def test_types_registered_with_kombu_are_written_and_read(monkeypatch):
    monkeypatch.setattr(kombu_json, "_encoders", dict(kombu_json._encoders))
    monkeypatch.setattr(kombu_json, "_decoders", dict(kombu_json._decoders))
    kombu_json.register_type(complex, "complex", str, complex)
    assert json.loads(typed_json.dumps(1j)) == json.loads(kombu_json.dumps(1j))
    assert typed_json.loads(typed_json.dumps([2j])) == [2j]
    kombu_json.register_type(range, None, list)
    assert typed_json.loads(typed_json.dumps(range(3))) == [0, 1, 2]
    with pytest.raises(DecodeError, match="bad __value__ for complex"):
        typed_json.loads(b'{"__type__": "complex", "__value__": []}')


class Odd(Exception):
    """Its constructor takes something else than its ``args``."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code


class Tagged(ValueError):
    def __init__(self, text):
        super().__init__(text)
        self.tag = "t"


class Locked(KeyError):
    def __init__(self, key):
        super().__init__(key)
        self.lock = (n for n in ())


def celerys(serializer):
    app = Celery("record", backend="cache+memory://", result_serializer=serializer, set_as_current=False)
    app.conf.accept_content = [serializer]
    return app.backend


EXCEPTIONS = [
    ValueError("x"), Tagged("y"), Odd(3, "z"), Locked("k"), FileNotFoundError(2, "none", "/f"), KeyError(Decimal(1)),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), RuntimeError(object()),
    errors.ChordError("c"), errors.TaskRevokedError("r"), errors.WorkerLostError("w"), errors.MaxRetriesExceededError("m"),
]  # fmt: skip


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml", "pickle"])
@pytest.mark.parametrize("exc", EXCEPTIONS, ids=lambda exc: type(exc).__name__)
def test_failures_as_celery_writes_and_reads_them(exc, serializer):
    backend = celerys(serializer)
    try:
        theirs = backend.decode_result(backend.encode({"status": "FAILURE", "result": backend.prepare_exception(exc)}))
    except (TypeError, ValueError, kombu.exceptions.EncodeError, yaml.YAMLError):
        theirs = None  # Celery cannot store it
    ours = record.encode(Record("i", states.FAILURE, exc), serializer=serializer)
    kept = record.decode(ours, serializer=serializer, accept=[serializer]).result
    read_by_celery = backend.decode_result(ours)["result"]
    part = record.encode_part("i", states.FAILURE, exc, serializer=serializer)
    assert type(record.decode_part(part, serializer=serializer, accept=[serializer])[2]) is type(kept)
    if type(exc).__module__ == errors.__name__:
        assert type(kept) is type(exc)
        assert type(read_by_celery).__name__ == type(exc).__name__
        assert type(read_by_celery).__module__.partition(".")[0] in ("celery", "billiard")
    elif isinstance(exc, Odd):
        assert isinstance(kept, RemoteError)
        assert "3: z" in str(kept)
        assert "3: z" in str(read_by_celery)
    elif theirs is not None and serializer == "pickle":
        assert type(kept) is type(read_by_celery) is type(theirs["result"])
        assert len(kept.args) == len(theirs["result"].args)
        assert kept.__dict__ == theirs["result"].__dict__
    elif theirs is not None:
        assert repr(kept) == repr(theirs["result"])


class Refusal(ValueError):
    """What a program catches."""


class Refused(Refusal):
    def __init__(self, code, *, why):
        super().__init__(f"{code}: {why}")


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml", "pickle"])
def test_an_exception_that_cannot_be_made_again_is_its_base_class(serializer):
    """As on a Celery worker: who catches that class gets it, from either library."""
    exc, backend = Refused(3, why="z"), celerys(serializer)
    sent = get_pickleable_exception(exc)
    theirs = backend.decode_result(backend.encode({"status": "FAILURE", "result": backend.prepare_exception(sent)}))
    ours = record.encode(Record("i", states.FAILURE, exc), serializer=serializer)
    kept = record.decode(ours, serializer=serializer, accept=[serializer]).result
    assert [(type(one), one.args) for one in (kept, backend.decode_result(ours)["result"], theirs["result"])] == [
        (Refusal, ("3: z",))
    ] * 3


def test_pickled_attributes_come_back():
    for exc in (Tagged("y"), FileNotFoundError(2, "none", "/f"), json.JSONDecodeError("bad", "{", 1)):
        stored = record.encode(Record("i", states.FAILURE, exc), serializer="pickle")
        kept = record.decode(stored, serializer="pickle", accept=["pickle"]).result
        assert (type(kept), kept.__dict__) == (type(exc), exc.__dict__)
        assert getattr(kept, "filename", None) == getattr(exc, "filename", None)


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml", "pickle"])
def test_an_exception_that_a_task_returns_is_a_value(serializer):
    if serializer == "pickle":
        part = record.encode_part("i", states.SUCCESS, Tagged("y"), serializer=serializer)
        value = record.decode_part(part, serializer=serializer, accept=[serializer])[2]
        assert (type(value), value.tag) == (Tagged, "t")
        return
    with pytest.raises(EncodeError):
        record.encode_part("i", states.SUCCESS, Tagged("y"), serializer=serializer)


def test_pickles_of_celery_are_read_without_celery():
    wrapped = UnpickleableExceptionWrapper.from_exception(Locked("k"))
    stored = pickle.dumps({"status": "FAILURE", "result": wrapped})
    assert type(record.decode(stored, serializer="pickle", accept=["pickle"]).result) is Locked
    meta = {"exc_type": "UnpickleableExceptionWrapper", "exc_module": "celery.utils.serialization"}
    for name, kind in (("Locked", Locked), ("Unknown", RemoteError)):
        found = exceptions.decode_exception({**meta, "exc_message": [__name__, name, ["k"], f"{name}('k')"]})
        assert type(found) is kind and "k" in str(found)
    for theirs in (
        celery.exceptions.ChordError("x"),
        celery.exceptions.TaskRevokedError("r"),
        celery.exceptions.Reject("q"),
    ):
        stored = pickle.dumps({"status": "FAILURE", "result": theirs})
        kept = record.decode(stored, serializer="pickle", accept=["pickle"]).result
        assert type(kept) is getattr(errors, type(theirs).__name__)
        assert str(kept) == str(theirs)


def nested(levels):
    value = 0
    for _ in range(levels):
        value = [value]
    return value


def test_what_is_nested_too_deep_is_refused_before_it_is_sent_or_stored():
    app = Canvas(
        "deep", broker="memory://deep", backend="memory://deep", task_message_max_depth=50, set_as_current=False
    )
    app.send_task("t", (nested(48),))
    for deep in (nested(49), {"x": nested(60)}):
        for options in (
            {"args": (deep,)},
            {"kwargs": {"d": deep}},
            {"headers": {"d": deep}},
            {"link": app.signature("l", (deep,))},
        ):
            with pytest.raises(EncodeError, match="nested more than 50 levels deep, which is task_message_max_depth"):
                app.send_task("t", **options)
        with pytest.raises(EncodeError, match="nested more than 50 levels"):
            app.backend.store_result("id", [deep], "SUCCESS")
        with pytest.raises(EncodeError, match="nested more than 50 levels"):
            app.backend.encode_part("id", "SUCCESS", [deep])
        app.backend.store_result("id", ValueError(deep), "FAILURE")
        assert isinstance(app.AsyncResult("id").result, ValueError)
    assert app.driver.admin.queue_length("celery") == 1
    app.conf.task_message_max_depth = 300
    app.backend.store_result("other", nested(250), "SUCCESS")
    assert app.AsyncResult("other").result == nested(250)
    app.send_task("t", (nested(250),))


def test_depth_does_not_count_brackets_in_text():
    app = Canvas("flat", broker="memory://flat", set_as_current=False)
    app.send_task("t", ("[" * 1000, ['[\\"{'] * 500))
