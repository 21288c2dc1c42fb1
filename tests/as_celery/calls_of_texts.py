"""Calls of functions of ``celery.utils``, by their paths: texts, times, logs and signals."""

# ruff: noqa: PLC3002 - what is done to one object, in one expression

import logging
import pickle
import types
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

from tests.as_celery.calls_of_values import Above, Below, Callable, Unpickleable, key

UTC = ZoneInfo("UTC")
MOMENT = datetime(2026, 3, 29, 1, 30, 15, 123456)
AWARE = MOMENT.replace(tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
ELSEWHERE = MOMENT.replace(tzinfo=timezone(timedelta(hours=5)))

TEXTS = {
    "saferepr.saferepr": [
        lambda f: f({"a": [1, (2,), {3}, frozenset(), b"x", None, 1.5], "b": "t"}), lambda f: f(["x" * 50] * 9, maxlen=60),
        lambda f: f([[[[[1]]]]], maxlevels=2), lambda f: f([[[[[1]]]]]), lambda f: f("x" * 200, 30), lambda f: f(Decimal(1)),
        lambda f: f(list(range(100)), maxlen=50), lambda f: f("it's"),
    ],
    "serialization.strtobool": [
        lambda f: [f(term) for term in ("yes", "No", "1", "0", "on", "OFF", "true", "False", 3)], lambda f: f("x"),
        lambda f: f("y", table={"y": True}), lambda f: f("", table=None),
    ],
    "serialization.jsonify": [
        lambda f: f({"a": [AWARE, MOMENT, date(2026, 1, 2), timedelta(1), None, 1.5, (1,)]}), lambda f: f({1}),
        lambda f: f({"a": 1, "b": 2}, keyfilter=lambda name: name == "a"), lambda f: f({1}, unknown_type_filter=sorted),
        lambda f: f({"a": {1}}), lambda f: f({1}, builtin_types=(set,)), lambda f: f({1}, key="k"), lambda f: f(MOMENT.time()),
        lambda f: f({"a": {1}}, unknown_type_filter=str), lambda f: f(AWARE.astimezone(BERLIN)), lambda f: f(Decimal("1.5")),
    ],
    "serialization.b64encode": [lambda f: f("a"), lambda f: f(b"a")],
    "serialization.b64decode": [lambda f: f("YQ=="), lambda f: f(b"YQ==")],
    "serialization.ensure_serializable": [lambda f: f([1, {2}], __import__("json").dumps)],
    "serialization.itermro": [lambda f: list(f(Unpickleable, (Exception, object))), lambda f: list(f(int, ()))],
    "serialization.create_exception_cls": [
        lambda f: (f("A", "m").__name__, f("A", "m").__module__, f("A", "m").__mro__[1:]), lambda f: f("A", "m", ValueError).__mro__[1:],
        lambda f: f("A", "m", parent=KeyError).__bases__,
    ],
    "serialization.subclass_exception": [lambda f: (f("A", KeyError, "m").__bases__, f("A", KeyError, "m").__module__)],
    "serialization.get_pickleable_exception": [
        lambda f: repr(f(ValueError(1))), lambda f: type(f(Unpickleable(1, 2))).__name__, lambda f: f(Unpickleable(1, 2)).args,
    ],
    "serialization.find_pickleable_exception": [
        lambda f: repr(f(ValueError(1))), lambda f: f(Unpickleable(1, 2)), lambda f: repr(f(ValueError(1), pickle.loads, pickle.dumps)),
        lambda f: f(ValueError(1), dumper=Callable.fails), lambda f: f(ValueError(1), loader=Callable.fails),
    ],
    "serialization.get_pickleable_etype": [
        lambda f: f(ValueError), lambda f: f(type("X", (KeyError,), {})), lambda f: f(ValueError, dumps=Callable.fails),
    ],
    "serialization.UnpickleableExceptionWrapper": [
        lambda f: (lambda one: (str(one), one.exc_args, one.exc_module, one.text, type(one.restore()).__name__))(f("m", "N", [1], "t")),
        lambda f: (lambda one: (str(one), one.exc_args, one.exc_cls_name))(f.from_exception(Unpickleable(1, 2))), lambda f: f("m", "N", [1]).text,
    ],
    "serialization.raise_with_context": [lambda f: f(ValueError("a"))],
    "text.str_to_list": [lambda f: [f("a,b"), f(["a"]), f(None), f("a, b")]],
    "text.dedent_initial": [lambda f: [f("    a"), f("  a"), f("  a", n=2), f("a")]],
    "text.dedent": [lambda f: f("    a\n    b\n  c\n"), lambda f: f("    a\n    b", sep="|")],
    "text.fill_paragraphs": [lambda f: f("aa bb cc\ndd ee", 5), lambda f: f("aa bb|cc", width=5, sep="|")],
    "text.join": [lambda f: f(["a", "", "b"]), lambda f: f(["a", None, "b"], sep="-")],
    "text.ensure_sep": [lambda f: f("x", "a"), lambda f: f("x", "ax", n=3), lambda f: f("x", "axxx", 2)],
    "text.ensure_newlines": [lambda f: f("a"), lambda f: f("a\n", n=3)],
    "text.abbr": [
        lambda f: [f("abcdefgh", 5), f("abc", 5), f("abcdefgh", 5, ellipsis="."), f("abcdefgh", 5, None), f(None, 5)],
        lambda f: f("abcdefgh", max=2), lambda f: f("abcdefgh", 5, True), lambda f: f("abcdefgh", 5, False),
    ],
    "text.abbrtask": [lambda f: [f("a.very.long.module.task", 15), f("task", 9), f(None, 3), f("", max=3), f("averylongname", 5)]],
    "text.indent": [lambda f: f("a\nb", 2), lambda f: f("a|b", indent=1, sep="|"), lambda f: f("a")],
    "text.truncate": [
        lambda f: [f("one two three", n) for n in (5, 7, 8, 13, 14)], lambda f: f("one two three", maxlen=8, suffix="!"), lambda f: f("a" * 200),
    ],
    "text.pluralize": [lambda f: [f(n, "task") for n in (0, 1, 2, -1, 1.5)], lambda f: f(2, "box", suffix="es")],
    "text.pretty": [
        lambda f: f({"a": 1, "b": [1, 2]}), lambda f: f((1, 2)), lambda f: f("x" * 9, width=5), lambda f: f({"a": "b" * 30, "c": "d" * 60}, nl_width=40),
        lambda f: f({"a": 1}, sep="|"), lambda f: f((1,), sep="|"), lambda f: f([1, [2, [3]]], depth=1), lambda f: f({"a": {"b": 1}}, depth=1),
    ],
    "text.remove_repeating": [lambda f: f("ab", "abcabdab"), lambda f: f("x", "abc"), lambda f: f(substr="a", s="aa")],
    "text.remove_repeating_from_task": [lambda f: f("m.t", "m.t(m.a, m.b)"), lambda f: f("t", "t(a)")],
    "text.simple_format": [
        lambda f: f("%n-%%-%x", {"n": "a", "x": lambda: "b"}), lambda f: f("%n", {}), lambda f: f("", {}), lambda f: f(None, {"a": 1}),
        lambda f: f("$n", {"n": "a"}, pattern=__import__("re").compile(r"\$(\w)")), lambda f: f("%nx", {"n": "a"}, expand=r"\1"),
        lambda f: f("%n", {"nn": "a"}, expand=r"\1\1"),
    ],
    "term.colored": [
        lambda f: str(f().red("a", f().bold("b"))), lambda f: str(f("a", f("b"), enabled=False)), lambda f: str(f("a", op="\033[1m")),
        lambda f: [str(getattr(f("x"), name)("t")) for name in ("black", "green", "yellow", "blue", "magenta", "cyan", "white", "underline",
            "blink", "reverse", "bright", "ired", "igreen", "iyellow", "iblue", "imagenta", "icyan", "iwhite", "reset")],
        lambda f: f().red("a").no_color(), lambda f: f().red("a").embed(), lambda f: str(f().node(["a"], "x")),
        lambda f: str(f().red("a") + f().blue("b")), lambda f: repr(f().red("a")), lambda f: f().iblack("a"), lambda f: sorted(f().names),
    ],
    "time.maybe_timedelta": [lambda f: [f(3), f(1.5), f(timedelta(1)), f(None)]],
    "time.maybe_iso8601": [lambda f: [f("2026-01-02T03:04:05Z").timestamp(), f(None), f(MOMENT), f("2026-01-02T03:04:05")], lambda f: f("x"), lambda f: f("")],
    "time.rate": [lambda f: [f("10/m"), f("1/h"), f("5"), f(3), f(1.5), f(None), f("10/s"), f(0)], lambda f: f("x"), lambda f: f("1/x")],
    "time.get_exponential_backoff_interval": [
        lambda f: [f(2, n, 100) for n in range(8)], lambda f: f(factor=1, retries=3, maximum=5, full_jitter=False), lambda f: f(0, 3, 9, full_jitter=True),
        lambda f: f(-1, 2, 10),
    ],
    "time.to_utc": [lambda f: f(MOMENT), lambda f: f(AWARE.astimezone(BERLIN))],
    "time.make_aware": [lambda f: f(MOMENT, BERLIN), lambda f: f(AWARE, BERLIN), lambda f: f(dt=MOMENT, tz=UTC)],
    "time.maybe_make_aware": [lambda f: str(f(MOMENT)), lambda f: f(MOMENT, BERLIN), lambda f: f(AWARE, BERLIN), lambda f: str(f(MOMENT, naive_as_utc=False)), lambda f: f(MOMENT, tz=BERLIN, naive_as_utc=False)],
    "time.is_naive": [lambda f: [f(MOMENT), f(AWARE)]],
    "time.timezone": [
        lambda z: z.to_local(MOMENT, BERLIN), lambda z: z.to_local(MOMENT, BERLIN, BERLIN), lambda z: z.to_local(AWARE, BERLIN),
        lambda z: z.to_local(ELSEWHERE, BERLIN), lambda z: str(z.to_local_fallback(MOMENT)), lambda z: str(z.to_local_fallback(AWARE)),
        lambda z: z.to_local_fallback(ELSEWHERE),
    ],
    "time.localize": [lambda f: f(AWARE, BERLIN), lambda f: f(dt=AWARE, tz=BERLIN), lambda f: f(MOMENT, UTC)],
    "time.delta_resolution": [lambda f: [f(MOMENT, delta) for delta in (timedelta(2), timedelta(hours=2), timedelta(minutes=2), timedelta(seconds=2), timedelta(0))]],
    "time.remaining": [
        lambda f: f(AWARE, timedelta(hours=1), now=AWARE), lambda f: f(AWARE, timedelta(hours=1), AWARE, True), lambda f: f(AWARE, ends_in=timedelta(days=2), now=AWARE, relative=True),
        lambda f: f(MOMENT.replace(tzinfo=BERLIN), timedelta(hours=3), now=AWARE), lambda f: f(MOMENT, timedelta(1), now=MOMENT),
        lambda f: f(datetime(2026, 3, 28, 12, tzinfo=BERLIN), timedelta(days=1), now=datetime(2026, 3, 29, 11, tzinfo=BERLIN)),
    ],
    "time.humanize_seconds": [
        lambda f: [f(n) for n in (0, 0.5, 1, 59, 60, 61, 3600, 7200, 86400, 1e6, -5)], lambda f: f(3, prefix="in "), lambda f: f(3, "in", sep=" "), lambda f: f(0, now="NOW"),
        lambda f: [f(n, microseconds=True) for n in (0.5, 0.001, 1.5, 61.25)],
    ],
    "time.weekday": [lambda f: [f("mon"), f("Sunday"), f("SAT")], lambda f: f("x")],
    "time.adjust_timestamp": [lambda f: f(1000.0, 2, lambda: 1), lambda f: f(ts=1000.0, offset=2, here=lambda: -1)],
    "time.utcoffset": [lambda f: f(), lambda f: f(time=types.SimpleNamespace(timezone=-7200, daylight=0)), lambda f: f(localtime=lambda t: types.SimpleNamespace(tm_isdst=0))],
    "time.ffwd": [
        lambda f: AWARE + f(year=2027, month=1, day=2, hour=3, minute=4, second=5, microsecond=6), lambda f: AWARE + f(weeks=1), lambda f: f(hour=3) + AWARE,
        lambda f: MOMENT + f(hour=0, x=1), lambda f: f(1, 2, 3, 4, 5, 6, 7, 8).weeks, lambda f: datetime(2026, 2, 1) + f(day=31), lambda f: f(hour=1).minute,
    ],
    "time.add_seconds_to_datetime": [lambda f: f(MOMENT.replace(tzinfo=BERLIN), 5400), lambda f: f(dt=MOMENT, seconds=1)],
    "time.subtract_datetimes": [lambda f: f(AWARE.astimezone(BERLIN), AWARE - timedelta(1)), lambda f: f(MOMENT, MOMENT - timedelta(1))],
    "iso8601.parse_iso8601": [
        lambda f: [f(text) for text in ("2026-01-02", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05+02:00", "2026-01-02T03:04:05-01:30", "2026-01-02 03:04:05")], lambda f: f("x"),
    ],
    "annotations.annotation_is_class": [lambda f: [f(int), f(list[int]), f("int"), f(int | None)]],
    "annotations.annotation_issubclass": [lambda f: [f(bool, int), f(list[int], list), f("int", int)]],
    "annotations.get_optional_arg": [lambda f: [f(int | None), f(int), f(int | str), f(int | str | None)]],
    "annotations.is_none_type": [lambda f: [f(type(None)), f(None), f(int)]],
    "debug.hfloat": [lambda f: [f(3.0), f(3.14159265), f(3.14159265, p=2)]],
    "debug.humanbytes": [lambda f: [f(n) for n in (0, 5, 2**10, 1536, 2**20, 2**30, 2**41)]],
    "debug.sample": [lambda f: list(f(list(range(10)), 3)), lambda f: list(f(list(range(10)), 5, k=2)), lambda f: list(f([1], 3)), lambda f: list(f(x=[], n=2))],
    "sysinfo.is_auto_concurrency": [lambda f: [f("auto"), f("AUTO "), f(3), f(None)]],
    "log.mlevel": [lambda f: [f("debug"), f("INFO"), f(10), f(None), f("")], lambda f: f("x"), lambda f: f("10")],
    "log.get_logger": [lambda f: f("eco.x").name, lambda f: f("eco.x").parent is logging.getLogger("eco.x").parent],
    "log.get_task_logger": [lambda f: f("eco.task").parent.name, lambda f: f("celery.task")],
    "threads.LocalStack": [
        lambda f: (lambda one: (list(one.push(1)), list(one.push(2)), one.top, list(one.stack), len(one), one.pop(), one.pop(), one.pop(), one.top))(f()),
    ],
    "threads.bgThread": [lambda f: (f().name, f("n").name, f(name="n", daemon=True).daemon)],
    "dispatch.Signal": [
        lambda f: (lambda one: (one.providing_args, one.name, one.connect(Callable.shout, sender=Above, weak=False), one.has_listeners(Above), one.has_listeners(Below),
            one.disconnect(Callable.shout, sender=Above), one.has_listeners()))(f(providing_args=["a"], use_caching=False, name="n")),
        lambda f: (lambda one: (one.connect(Callable.shout, dispatch_uid="u"), one.connect(Callable.whisper, dispatch_uid="u"), one.send("s", text="a"),
            one.disconnect(dispatch_uid="u"), one.send("s", text="a")))(f()),
        lambda f: (lambda one: (one.connect(Callable.shout), one.connect(Callable.shout), one.send(sender="s", text="a"), one.disconnect(Callable.whisper),
            one.disconnect(receiver=Callable.shout), one.send("s", text="a")))(f()),
        lambda f: f().connect(key), lambda f: f().connect(key, weak=False),
        lambda f: (lambda one: (one.connect(Callable.shout, 1, False, "u"), one.connect(Callable.whisper, 2, False, "u"), one.send(1, text="a"), one.send(2, text="A"),
            one.disconnect(dispatch_uid="u"), one.disconnect(sender=2, dispatch_uid="u"), one.send(1), one.send(2)))(f()),
        lambda f: (lambda one: (one.connect(Callable.shout, retry=True) and 0, [reply for _, reply in one.send("s", text="a")], one.disconnect(Callable.shout), one.send("s")))(f()),
        lambda f: (lambda one: (one.connect(Callable.raises), [repr(reply) for _, reply in one.send("s")]))(f()),
        lambda f: (lambda one: (one.connect(sender="x")(Callable.shout), one.send("x", text="a"), one.send("y", text="b")))(f()),
    ],
}  # fmt: skip
