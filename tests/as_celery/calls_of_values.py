"""Calls of functions of ``celery.utils``, by their paths: functions, collections, names and imports."""

# ruff: noqa: PLC3002 - what is done to one object, in one expression

import copy
import pickle
import types
from decimal import Decimal


class Unpickleable(Exception):
    def __init__(self, one, two):
        super().__init__(one)
        self.two = lambda: two


def plain(one, two=3):
    return one


def method(self, one):
    return one


def named(*one, two, **three):
    return one


class Above:
    both = 1


class Below(Above):
    own = 2


def counted(memoize, *calls, then=lambda function: None, **options):
    """The results, how often the function ran, and the counts that the wrapper keeps."""
    ran = []

    @memoize(**options)
    def add(one, two=0):
        """Text."""
        ran.append(one)
        return one + two

    found = [add(*args, **kwargs) for args, kwargs in calls]
    then(add)
    found += [add(*args, **kwargs) for args, kwargs in calls]
    return found, ran, add.hits, add.misses, add.__name__, add.__doc__, add.original_func(1, 2)


CALLS = [((1,), {}), ((2,), {"two": 1}), ((1,), {}), ((3, 4), {})]
GIVEN = iter


def key(args, kwargs):
    return args[0] % 2


def lazy_values(lazy):
    values = iter(range(10))
    one = lazy(next, values)
    same = copy.deepcopy(one) is one
    return str(one), repr(one), one == 2, one != 3, one(), one.evaluate(), same


def regenerated(regen):
    taken = []

    def values():
        for one in range(5):
            taken.append(one)
            yield one

    one = regen(values())
    found = [bool(one), list(taken), one[1], list(taken), repr(one), next(iter(one)), isinstance(one, list)]
    return [
        *found,
        list(one),
        len(one),
        one[-1],
        one[1:3],
        pickle.loads(pickle.dumps(one)),
        repr(one),
        one == [0, 1, 2, 3, 4],
    ]


def limited(LimitedSet):
    one = LimitedSet(3, 10, {"a": 1.0, "b": 2.0}, 1)
    one.add("c", now=5.0)
    one.add("a", now=6.0)
    found = [list(one), len(one), one.as_dict(), "b" in one, repr(one)]
    one.purge(now=20.0)
    found += [list(one), one.pop(), one.pop("none"), one.pop_value("x")]
    return found


def chained(ChainMap):
    changed = []
    one = ChainMap({"a": 1}, {"a": 2, "b": 3}, key_t=str.lower)
    one.bind_to(changed.append)
    one["C"] = 4
    one.update(D=5)
    return (
        one["A"],
        one.get("B"),
        one["c"],
        sorted(one),
        changed,
        one.pop("C"),
        one.setdefault("e", 1),
        len(one),
        bool(one),
    )


class Callable:
    def __call__(self, one):
        return one

    @staticmethod
    def fails(*_):
        raise ValueError("no")

    @staticmethod
    def raises(sender, **_):
        raise ValueError("no")

    @staticmethod
    def shout(sender, text="", **_):
        return text.upper()

    @staticmethod
    def whisper(sender, text="", **_):
        return text.lower()


VALUES = {
    "functional.memoize": [
        lambda f: counted(f, *CALLS),
        lambda f: counted(f, *CALLS, maxsize=1),
        lambda f: counted(f, *CALLS, keyfun=key),
        lambda f: counted(f, *CALLS, then=lambda one: one.clear()),
        lambda f: counted(f, *CALLS, Cache=lambda limit: {}),
        lambda f: counted(f, ((1,), {}), ((1.0,), {}), ((True,), {})),
    ],
    "functional.lazy": [lazy_values, lambda f: pickle.loads(pickle.dumps(f(int, "3")))(), lambda f: f(int, "11", base=2)()],
    "functional.mlazy": [lambda f: lazy_values(lambda function, values: f(lambda: next(values) + 2))],
    "functional.maybe_evaluate": [lambda f: f(3)],
    "functional.is_list": [
        lambda f: [f([1]), f("a"), f({}), f(1), f(iter([]))], lambda f: f("a", scalars=()), lambda f: f([1], iters=(tuple,)),
        lambda f: f([1], scalars=(list,)), lambda f: f("a", None),
    ],
    "functional.maybe_list": [lambda f: [f(1), f([1]), f("a"), f(None), f({})], lambda f: f("a", scalars=())],
    "functional.noop": [lambda f: f(1, a=2)],
    "functional.pass1": [lambda f: f(1, 2, a=3)],
    "functional.first": [
        lambda f: f(None, [None, 0, 1]), lambda f: f(lambda one: one > 1, [1, 2, 3]), lambda f: f(lambda one: False, [1]),
    ],
    "functional.firstmethod": [
        lambda f: f("upper")(["a", "b"]), lambda f: f("nothing")(["a"]), lambda f: f("split")(["a,b"], ",", maxsplit=1),
        lambda f: f("split", on_call=lambda method, *a, **k: (method(*a), k))(["a,b"], ",", x=1),
        lambda f: f("bit_length")(["a", 3]),
    ],
    "functional.chunks": [lambda f: list(f(iter(range(7)), 3)), lambda f: list(f(iter([]), n=2))],
    "functional.padlist": [
        lambda f: f([1, 2, 3], 2), lambda f: f((1,), 3), lambda f: f([1], 3, default=0), lambda f: f(iter([1, 2]), 1),
    ],
    "functional.mattrgetter": [lambda f: f("real", "none")(3)],
    "functional.uniq": [lambda f: list(f([1, 2, 1, 3])), lambda f: next(f(iter([1, 2])))],
    "functional.lookahead": [
        lambda f: list(f(iter(range(3)))), lambda f: list(f([])), lambda f: next(iter(f(iter([1, 2, 3])))),
    ],
    "functional.regen": [regenerated, lambda f: f([1]), lambda f: f((1,)), lambda f: list(f({1: 2}))],
    "functional.dictfilter": [
        lambda f: f({"a": None, "b": 1}), lambda f: f(a=None, b=1), lambda f: f({"a": 1}, a=None), lambda f: f(d={"a": 1}),
    ],
    "functional.maybe": [lambda f: [f(int, "3"), f(int, None), f(typ=int, val="1")]],
    "functional.head_from_fun": [
        lambda f: [bool(f(plain)), f(plain)(1) and 0], lambda f: f(plain)(), lambda f: f(plain)(three=1), lambda f: f(plain)(1, two=2) and 0,
        lambda f: f(method, bound=True)(1) and 0, lambda f: f(method, bound=True)(1, 2), lambda f: f(method, True)(one=1) and 0,
        lambda f: f(named)(1, 2), lambda f: f(named)(1, two=2, x=3) and 0, lambda f: f(Callable())(1, 2), lambda f: f(Callable())(Callable(), 1) and 0,
    ],
    "functional.fun_accepts_kwargs": [lambda f: [f(lambda **k: 1), f(lambda a: 1)]],
    "functional.fun_takes_argument": [
        lambda f: [bool(f("a", lambda a: 1)), bool(f("b", lambda a: 1)), bool(f("b", lambda **b: 1)), bool(f("b", lambda *b: 1))],
        lambda f: [bool(f("b", lambda a: 1, position=n)) for n in (0, 1, 2)],
    ],
    "functional.arity_greater": [lambda f: [bool(f(lambda a, b: 1, n)) for n in (1, 2)], lambda f: bool(f(lambda *a: 1, 5))],
    "functional.evaluate_promises": [lambda f: list(f([1, 2]))],
    "functional.seq_concat_item": [lambda f: f([1], 2), lambda f: f((1,), 2)],
    "functional.seq_concat_seq": [
        lambda f: f([1], (2, 3)), lambda f: f((1, 2), [3]), lambda f: f([1], (2,)), lambda f: f((1,), [2]),
    ],
    "functional.is_numeric_value": [lambda f: [f(1), f(1.5), f(True), f("1"), f(Decimal(1))]],
    "functional.LRUCache": [
        lambda f: (lambda one: ([one.__setitem__(n, n) for n in "abc"], one["b"], one.__setitem__("d", 1), list(one),
                                list(one.items()), list(one.values()), list(one.keys()), len(one), "b" in one,
                                one.get("x", 3), one.popitem(), one.popitem(False), one.limit))(f(limit=2)),
        lambda f: (lambda one: (one.update({"n": "1"}), one.incr("n"), one.incr("n", delta=4), one["n"],
                                one.setdefault("m", 2), one.pop("m"), dict(pickle.loads(pickle.dumps(one)))))(f(3)),
        lambda f: (lambda one: (one.update(a=1, b=2, c=3), list(one)))(f(2)),
    ],
    "collections.LimitedSet": [limited, lambda f: f(expires=5).expires, lambda f: f(5, minlen=3), lambda f: f(minlen=3), lambda f: f(maxlen=-1),
        lambda f: bool(f()),
        lambda f: (lambda one: (one.update(f(data={"x": 5.0})), one.update(["y"]), sorted(one), one.discard("x"), list(one)))(f(5)),
    ],
    "collections.ChainMap": [chained, lambda f: f({"a": 1}).popitem(), lambda f: repr(f({"a": 1}, {"b": 2})),
        lambda f: (lambda one: (one.add_defaults({"z": 1}), one["z"], one.maps[1:], one.defaults, one.changes))(f({}, {"z": 0})),
        lambda f: f({"a": 1})["b"], lambda f: sorted(f({"a": 1}, {"b": 2}).copy().items()),
        lambda f: (lambda one: (one.clear(), dict(one)))(f({"a": 1}, {"b": 2})), lambda f: sorted(f.fromkeys("ab", 1)),
        lambda f: list(f({"a": 1}, {"a": 2, "b": 2}).iteritems()), lambda f: list(f({"a": 1}).itervalues()),
    ],
    "collections.AttributeDict": [lambda f: f(a=1).a, lambda f: f(a=1).b, lambda f: (lambda one: (setattr(one, "x", 1), one))(f())],
    "collections.DictAttribute": [
        lambda f: (lambda one: (one["a"], one.get("x"), one.get("x", 1), "a" in one, "x" in one, one.setdefault("y", 2),
            one.__setitem__("z", 3), one["z"], sorted(one.keys()) == sorted(one), one.a))(f(types.SimpleNamespace(a=1))),
        lambda f: f(types.SimpleNamespace())["a"], lambda f: sorted(f(types.SimpleNamespace(a=1)).items())[-1],
    ],
    "collections.force_mapping": [lambda f: f({"a": 1}), lambda f: f(types.SimpleNamespace(a=1))["a"]],
    "collections.lpmerge": [lambda f: f({"a": 1, "b": 2}, {"a": None, "b": 3})],
    "imports.symbol_by_name": [
        lambda f: [f("os.path:join").__name__, f("os.path.join").__name__, f("os").__name__, f(3)],
        lambda f: f("x", aliases={"x": "os.path:join"}).__name__, lambda f: f("nothing:x", default=4), lambda f: f("nothing:x"),
        lambda f: f("os:nothing"), lambda f: f(".path:join", package="os"), lambda f: f("json/loads", sep="/").__name__,
        lambda f: f("json:loads", imp=lambda name, package: types.SimpleNamespace(loads=name)),
    ],
    "imports.instantiate": [lambda f: f("decimal:Decimal", "3"), lambda f: f("types:SimpleNamespace", a=1)],
    "imports.qualname": [lambda f: f(Below), lambda f: f(Below()), lambda f: f(key), lambda f: f(3)],
    "imports.import_from_cwd": [lambda f: f("json").__name__, lambda f: f("json", imp=lambda name, package: (name, package))],
    "imports.find_module": [
        lambda f: f("json.decoder").__name__, lambda f: f("json.decoder.x.y"), lambda f: f("nothing.x"),
        lambda f: f("json", imp=lambda name: name),
    ],
    "imports.reload_from_cwd": [lambda f: f(types, reloader=lambda module: module.__name__)],
    "imports.module_file": [lambda f: f(types)],
    "imports.gen_task_name": [
        lambda f: f(types.SimpleNamespace(main="m"), "n", "__main__"), lambda f: f(types.SimpleNamespace(main="m"), "n", "mod"),
        lambda f: f(types.SimpleNamespace(main=None), "n", None), lambda f: f(types.SimpleNamespace(main=None), "n", "__main__"),
        lambda f: f(types.SimpleNamespace(main="m"), "n", "os.path"),
    ],
    "nodenames.nodename": [lambda f: f("a", "b")],
    "nodenames.nodesplit": [lambda f: [f("a@b"), f("b"), f("a@b@c")]],
    "nodenames.anon_nodename": [lambda f: f(), lambda f: f("h", "p"), lambda f: f(hostname="h", prefix="x")],
    "nodenames.default_nodename": [lambda f: [f("a@b"), f("b"), f(""), f(None), f("@b")], lambda f: f("b", default_name="n")],
    "nodenames.host_format": [
        lambda f: f("%n-%h-%d-%%", host="a.b.c"), lambda f: f("%n", name="x"), lambda f: f("%i", i="1"), lambda f: f("%z"),
        lambda f: f("%h", "nodot"), lambda f: f("%d", "nodot"), lambda f: f(None),
    ],
    "nodenames.node_format": [lambda f: f("%n-%h-%d-%p-%i", "a@b.c", i="1", p="a@b.c"), lambda f: f("%n-%h", "b")],
    "nodenames.worker_direct": [lambda f: (f("w@h").name, f("w@h").routing_key), lambda f: f(f("w")).name],
    "objects.Bunch": [lambda f: f(a=1).a, lambda f: vars(f(a=1, b=2))],
    "objects.mro_lookup": [
        lambda f: [f(Below, "both"), f(Below, "own"), f(Below, "none")], lambda f: f(Below, "both", stop={Above}),
        lambda f: f(Below, "both", stop={Above}, monkey_patched=["x"]), lambda f: f(Unpickleable, "__init__", {Exception}, ["y"]),
    ],
    "objects.getitem_property": [
        lambda f: type("A", (dict,), {"x": f("a.b", "doc")})({"a": {"b": 3}}).x,
        lambda f: type("A", (dict,), {"x": f("a")})().x, lambda f: f("a", doc="d").__doc__,
    ],
    "objects.FallbackContext": [lambda f: f(3, None).__enter__()],
}  # fmt: skip
