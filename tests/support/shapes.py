"""Every shape of workflow, written alike for canvas and for Celery; old versions of Celery import this, too."""

from decimal import Decimal


class Shapes:
    """Writes each workflow with one app's library; each returns ``(signature, expected value)``."""

    def __init__(self, lib, app):
        self.lib = lib
        self.app = app

    def s(self, name, *args, **kwargs):
        return self.app.tasks[f"t.{name}"].s(*args, **kwargs)

    def si(self, name, *args, **kwargs):
        return self.app.tasks[f"t.{name}"].si(*args, **kwargs)

    def task(self):
        return self.s("add", 2, 3), 5

    def no_arguments(self):
        return self.s("price"), Decimal("1.50")

    def keyword_arguments(self):
        return self.s("rec", "a", 1, b=2, c=[1, {"d": None}]), ["a", [1], {"b": 2, "c": [1, {"d": None}]}]

    def chain(self):
        return self.s("add", 1, 2) | self.s("add", 10) | self.s("mul", 2), 26

    def chain_of_one(self):
        return self.lib.chain(self.s("add", 1, 1)), 2

    def chain_with_immutable(self):
        return self.s("add", 1, 2) | self.si("add", 5, 5) | self.s("mul", 3), 30

    def group(self):
        return self.lib.group(self.s("add", i, i) for i in range(4)), [0, 2, 4, 6]

    def group_of_chains(self):
        return self.lib.group(self.s("add", i, 1) | self.s("mul", 10) for i in range(3)), [10, 20, 30]

    def chord(self):
        return self.lib.chord([self.s("add", i, i) for i in range(5)], self.s("tsum")), 20

    def chord_of_one(self):
        return self.lib.chord([self.s("add", 1, 1)], self.s("tsum")), 2

    def empty_chord(self):
        return self.lib.chord([], self.s("ident")), []

    def chain_with_group_in_the_middle(self):
        group = self.lib.group(self.s("add", 10), self.s("add", 20))
        return self.s("add", 1, 1) | group | self.s("tsum") | self.s("mul", 2), 68

    def chain_ending_in_group(self):
        return self.s("add", 1, 1) | self.lib.group(self.s("add", 1), self.s("add", 2)), [3, 4]

    def group_then_group(self):
        lib = self.lib
        first = lib.group(self.s("ident", 1), self.s("ident", 2))
        return first | lib.group(self.s("tsum"), self.s("ident")) | self.s("rec"), [[3, [1, 2]], [], {}]

    def chord_of_chains_with_chain_body(self):
        header = [self.s("add", i, i) | self.s("mul", 2) for i in range(3)]
        return self.lib.chord(header, self.s("tsum") | self.s("add", 1)), 13

    def nested_chord(self):
        inner = self.lib.chord([self.s("add", 1, 1), self.s("add", 2, 2)], self.s("tsum"))
        return self.lib.chord([inner, self.s("add", 3, 3)], self.s("tsum")), 12

    def chord_with_group_body(self):
        body = self.lib.group(self.s("tsum"), self.s("ident"))
        return self.lib.chord([self.s("ident", 1), self.s("ident", 2)], body), [3, [1, 2]]

    def chord_in_chain_in_group(self):
        lib = self.lib
        chord = lib.chord([self.s("add", 1), self.s("add", 2)], self.s("tsum"))
        return lib.group(self.s("ident", 1) | chord | self.s("mul", 10), self.s("ident", 9)), [50, 9]

    def chord_header_chain_ending_in_group(self):
        member = self.s("add", 1, 1) | self.lib.group(self.s("add", 1), self.s("add", 2))
        return self.lib.chord([member, self.s("add", 3, 3)], self.s("ident")), [[3, 4], 6]

    def two_chords_in_a_chain(self):
        lib = self.lib
        pair = [self.s("add", 1), self.s("add", 2)]
        return self.s("ident", 1) | lib.group(*pair) | self.s("tsum") | lib.group(*pair) | self.s("tsum"), 13

    def map(self):
        return self.app.tasks["t.tsum"].map([[1, 2], [3, 4]]), [3, 7]

    def starmap(self):
        return self.app.tasks["t.add"].starmap([(1, 2), (3, 4)]), [3, 7]

    def chunks(self):
        return self.app.tasks["t.add"].chunks([(i, i) for i in range(5)], 2), [[0, 2], [4, 6], [8]]


SHAPES = [name for name in vars(Shapes) if not name.startswith("_") and name not in ("s", "si")]
