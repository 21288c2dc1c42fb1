"""Every shape of workflow, sent and run by each pairing of canvas and real Celery 5.7."""

import pytest


class Shapes:
    """Writes each workflow with one app's library; each returns ``(signature, expected value)``."""

    def __init__(self, pair):
        self.lib = pair.lib
        self.app = pair.app
        self.s = pair.s
        self.si = pair.si

    def task(self):
        return self.s("add", 2, 3), 5

    def no_arguments(self):
        return self.s("price"), __import__("decimal").Decimal("1.50")

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


SHAPES = [name for name in vars(Shapes) if not name.startswith("_")]


@pytest.mark.parametrize("shape", SHAPES)
def test_value(pair, shape):
    signature, expected = getattr(Shapes(pair), shape)()
    assert signature.apply_async().get(timeout=30) == expected


def test_links_run_with_the_result(pair):
    redis = pair.bench
    shapes = Shapes(pair)
    key = redis.new_key()
    sig = shapes.s("add", 1, 2)
    sig.link(shapes.s("noted", f"{key}:a"))
    sig.link(shapes.s("noted", f"{key}:b"))
    assert sig.apply_async().get(timeout=30) == 3
    assert redis.ledger(f"{key}:a", 1) == ["3"]
    assert redis.ledger(f"{key}:b", 1) == ["3"]


def test_failure_carries_class_arguments_and_traceback(pair):
    result = Shapes(pair).s("fail").apply_async()
    with pytest.raises(ValueError) as caught:
        result.get(timeout=30)
    assert caught.value.args == ("boom", 42)
    assert result.state == "FAILURE"
    assert "raise ValueError" in result.traceback


def test_a_failing_step_ends_the_chain_and_calls_its_errback(pair):
    app, redis = pair.app, pair.bench
    shapes = Shapes(pair)
    key = redis.new_key()
    chain = shapes.s("add", 1, 1) | shapes.s("fail") | shapes.s("noted", f"{key}:never")
    result = chain.on_error(shapes.s("errback_by_id", f"{key}:failed")).apply_async()
    with pytest.raises(ValueError):
        result.get(timeout=30)
    assert redis.ledger(f"{key}:failed", 1) == [result.parent.id]
    assert redis.wait_state(app, result.id) == "FAILURE"
    assert redis.ledger(f"{key}:never", 0) == []


def test_errback_by_request_is_called_in_the_worker(pair):
    redis = pair.bench
    shapes = Shapes(pair)
    key = redis.new_key()
    sig = shapes.s("fail").on_error(shapes.s("errback_by_request", key))
    result = sig.apply_async()
    assert redis.ledger(key, 1) == [f"{result.id}|ValueError"]


def test_a_failing_header_fails_the_body_and_calls_its_errback_once(pair):
    app, redis = pair.app, pair.bench
    shapes = Shapes(pair)
    key = redis.new_key()
    body = shapes.s("tsum").on_error(shapes.s("errback_by_id", key))
    result = shapes.lib.chord([shapes.s("add", 1, 1), shapes.s("fail"), shapes.s("add", 2, 2)], body).apply_async()
    with pytest.raises(Exception):  # noqa: B017 - Celery raises the member's error, or ChordError, by timing
        result.get(timeout=30)
    assert redis.wait_state(app, result.id) == "FAILURE"
    assert redis.ledger(key, 1) == [result.id]


def test_ids_and_lineage(pair):
    shapes = Shapes(pair)
    result = (shapes.s("where") | shapes.s("where") | shapes.s("where")).apply_async()
    last = result.get(timeout=30)
    first = result.parent.parent.get(timeout=30)
    assert last["id"] == result.id
    assert last["root_id"] == first["id"] == result.parent.parent.id
    assert last["parent_id"] == result.parent.id
    assert first["parent_id"] is None


def test_ignored_results_are_not_stored(pair):
    redis = pair.bench
    key = redis.new_key()
    result = Shapes(pair).s("quiet", key).apply_async()
    assert redis.ledger(key, 1) == ["1"]
    assert redis.results.get(f"celery-task-meta-{result.id}") is None


def test_retry_keeps_the_id_and_the_chain(pair):
    shapes = Shapes(pair)
    assert (shapes.s("flaky", 2) | shapes.s("add", 10)).apply_async().get(timeout=30) == 12


def test_countdown(pair):
    assert Shapes(pair).s("add", 1, 1).apply_async(countdown=0.2).get(timeout=30) == 2


def test_expired_tasks_are_revoked(pair):
    app, redis = pair.app, pair.bench
    result = Shapes(pair).s("add", 1, 1).apply_async(expires="2001-01-01T00:00:00+00:00")
    assert redis.wait_state(app, result.id) == "REVOKED"
