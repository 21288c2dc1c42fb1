"""Chords whose members run on both kinds of worker, from a client of either library.

``python -m tests.support.mixed_chords`` prints what each came to, as JSON. Celery's worker serves the queue ``theirs``,
canvas' the queue ``ours``, and both the queue ``celery``.
"""

import importlib
import itertools
import json
import os
import sys

from tests.support.apps import make

_LATE = 0.4
"""Seconds by which one member ends after the others."""


class Composer:
    """The shapes, made of one app's tasks."""

    def __init__(self, library, app):
        composing = importlib.import_module(library)
        self.chord, self.group, self.chain = composing.chord, composing.group, composing.chain
        self._grouped = [1, 2, 3] if library == "canvas" else [2, 1, 3]
        self._tasks = app.tasks

    def member(self, queue, value=1, **options):
        return self._tasks["t.ident"].s(value).set(queue=queue, **options)

    def late(self, queue, value=1):
        """A member that ends as the last."""
        return self.chain(
            self._tasks["t.sleep"].s(_LATE).set(queue=queue), self._tasks["t.ident"].si(value).set(queue=queue)
        )

    def failing(self, queue):
        return self._tasks["t.fail"].s().set(queue=queue)

    def body(self, queue="celery"):
        return self._tasks["t.ident"].s().set(queue=queue)

    def inner(self, first, last):
        return self.chord([self.member(first, 1), self.late(last, 2)], self._tasks["t.tsum"].s().set(queue=first))

    def shapes(self):
        """Names, and chords with what they come to."""
        queues = ("ours", "theirs")
        for first, last, end in itertools.product(queues, queues, ("ours", "theirs")):
            yield (
                f"{first}, {last} last, body {end}",
                self.chord([self.member(first, 1), self.member(first, 2), self.late(last, 3)], self.body(end)),
                [1, 2, 3],
            )
        for first, last in (("ours", "theirs"), ("theirs", "ours")):
            about = f"{first}, {last} last"
            yield f"failing {about}", self.chord([self.failing(first), self.late(last)], self.body()), "ChordError"
            yield f"nested {about}", self.chord([self.inner(first, last), self.member(last, 4)], self.body()), [3, 4]
            yield (
                f"nested last {about}",
                self.chord([self.member(first, 4), self.inner(first, last)], self.body()),
                [4, 3],
            )
            yield (
                f"groups {about}",
                self.chord(
                    self.group(self.group(self.member(first, 1), self.late(last, 2)), self.member(last, 3)), self.body()
                ),
                self._grouped,
            )
            yield (
                f"in a chain {about}",
                self.chain(
                    self.member(first, 5),
                    self.chord([self._tasks["t.ident"].s().set(queue=first), self.late(last, 6)], self.body()),
                ),
                [5, 6],
            )
            yield f"one member {about}", self.chord([self.member(first, 7)], self.body(last)), [7]
            yield (
                f"body of a chord {about}",
                self.chain(
                    self.chord([self.member(first, 1), self.late(last, 2)], self._tasks["t.tsum"].s().set(queue=last)),
                    self.group(self._tasks["t.ident"].s().set(queue=first), self._tasks["t.ident"].s().set(queue=last)),
                    self.body(),
                ),
                [3, 3],
            )
        # Celery's workers do not count the failure of an inner chord that they end: canvas' end this one.
        yield (
            "nested failing",
            self.chord(
                [self.chord([self.failing("ours"), self.late("ours")], self.body("theirs")), self.late("theirs")],
                self.body(),
            ),
            "ChordError",
        )
        yield "either", self.chord([self.member("celery", n) for n in range(12)], self.body()), list(range(12))
        yield (
            "without results",
            self.chord([self.member("ours", 1, ignore_result=True), self.late("theirs", 2)], self.body()),
            [1, 2],
        )


def main():
    library, broker, backend = (os.environ[f"APP_{name}"] for name in ("LIBRARY", "BROKER", "BACKEND"))
    settings = json.loads(os.environ.get("APP_MORE", "{}"))
    if "DJANGO_SETTINGS_MODULE" in os.environ:
        import django

        django.setup()
        if sys.argv[1:] == ["migrate"]:
            from django.core.management import call_command

            call_command("migrate", verbosity=0)
            return
    app = make(library, broker, backend, **settings)
    sent = [(name, chord.apply_async(), value) for name, chord, value in Composer(library, app).shapes()]
    found = {}
    for name, result, value in sent:
        try:
            come = result.get(timeout=float(os.environ.get("CHORDS_WITHIN", "20")), propagate=False)
            found[name] = [type(come).__name__ if isinstance(come, Exception) else come, value]
        except TimeoutError as exc:
            found[name] = [type(exc).__name__, value]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
