"""What leaves a workflow waiting for ever in Celery: on a canvas worker it ends, with errbacks called once.

Each case here is a row of docs/explanation/differences.md, where Celery's own outcome stands beside it.
"""

import uuid

import pytest

from canvas.testing.contract import eventually
from tests.support.random_workflows.observation import settled


def of(pairs, client, worker):
    return next(pair for pair in pairs if (pair.client, pair.worker) == (client, worker))


class Cases:
    """Each gives a workflow whose last result cannot be had, with an errback that notes under ``key``."""

    def __init__(self, pair, key):
        self.pair, self.lib, self.s = pair, pair.lib, pair.s
        self.errback = pair.s("errback_by_id", key)

    def unknown(self):
        return self.pair.app.signature("t.nobody_has_this")

    def nested_chord_whose_header_fails(self):
        inner = self.lib.chord([self.s("fail"), self.s("ident", 1)], self.s("tsum"))
        return self.lib.chord([inner, self.s("ident", 2)], self.s("ident").on_error(self.errback))

    def chord_in_a_chain_in_a_header_whose_header_fails(self):
        inner = self.s("ident", 1) | self.lib.group(self.s("ident"), self.s("fail")) | self.s("tsum")
        return self.lib.chord([inner, self.s("ident", 2)], self.s("ident").on_error(self.errback))

    def header_task_that_ignores_itself(self):
        return self.lib.chord([self.s("ignored"), self.s("ident", 2)], self.s("ident").on_error(self.errback))

    def header_task_that_nobody_knows(self):
        return self.lib.chord([self.unknown(), self.s("ident", 2)], self.s("ident").on_error(self.errback))

    def chain_with_a_step_that_nobody_knows(self):
        return self.lib.chain(self.s("ident", 1), self.unknown().on_error(self.errback), self.s("ident"))

    def chain_with_a_step_that_ignores_itself(self):
        return self.lib.chain(self.pair.si("ignored"), self.s("ident").on_error(self.errback))

    def chain_with_a_revoked_step(self):
        revoked = self.s("ident")
        revoked.freeze()
        inspect = self.pair.app.control.inspect(limit=1, timeout=20)
        self.pair.app.control.revoke(revoked.id)
        eventually(lambda: revoked.id in next(iter(inspect.revoked().values())))
        return self.lib.chain(self.s("ident", 1), revoked, self.s("ident").on_error(self.errback))

    def chain_with_an_expired_step(self):
        expired = self.s("ident").set(expires="2001-01-01T00:00:00+00:00")
        return self.lib.chain(self.s("ident", 1), expired, self.s("ident").on_error(self.errback))


CASES = [name for name in vars(Cases) if not name.startswith("_") and name != "unknown"]
QUIET = {"chain_with_a_step_that_ignores_itself", "chain_with_an_expired_step", "chain_with_a_revoked_step"}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("client", ["celery", "canvas"])
def test_it_ends_on_a_canvas_worker(pairs, client, case):
    pair = of(pairs, client, "canvas")
    key = pair.bench.new_key()
    result = getattr(Cases(pair, key), case)().apply_async()
    assert pair.bench.wait_state(pair.app, result.id) in ("FAILURE", "REVOKED")
    settled(pair, uuid.uuid4().hex, 0)
    assert len(pair.bench.ledgers.lrange(f"ledger:{key}", 0, -1)) == (case not in QUIET)


@pytest.mark.parametrize("case", CASES)
def test_it_stays_pending_on_a_celery_worker(pairs, case):
    pair = of(pairs, "celery", "celery")
    result = getattr(Cases(pair, pair.bench.new_key()), case)().apply_async()
    settled(pair, uuid.uuid4().hex, 0)
    assert pair.app.AsyncResult(result.id).state == "PENDING"


SENSELESS = {
    "a time limit that is text": ({"time_limit": "5"}, "SUCCESS"),
    "an errback that is text": ({"link_error": "x"}, "SUCCESS"),
    "a callback that is a number": ({"link": 3}, "FAILURE"),
    "an eta that is no time": ({"eta": "tomorrow"}, "PENDING"),
}
"""Options that Celery sends as they are, and how a workflow with them ends on its own worker."""


@pytest.mark.parametrize("place", ["chain", "header"])
@pytest.mark.parametrize("options", SENSELESS)
def test_what_follows_a_task_with_senseless_options_ends(pairs, options, place):
    given, in_celery = SENSELESS[options]
    for worker, ends in (("canvas", "FAILURE"), ("celery", in_celery)):
        pair = of(pairs, "celery", worker)
        key = pair.bench.new_key()
        last = pair.si("ident", 2).on_error(pair.s("errback_by_id", key))
        senseless = pair.s("ident", 1).set(**given)
        whole = pair.lib.chain(senseless, last) if place == "chain" else pair.lib.chord([senseless], last)
        result = whole.apply_async()
        if ends == "PENDING":
            settled(pair, uuid.uuid4().hex, 0)
            assert pair.app.AsyncResult(result.id).state == ends
        else:
            assert pair.bench.wait_state(pair.app, result.id) == ends
        if worker == "canvas":
            pair.bench.ledger(key, place == "header")
            assert pair.bench.ledgers.llen(f"ledger:{key}") == (place == "header")


def test_what_follows_a_task_whose_result_cannot_be_written(pairs):
    """Celery sends it before it stores the result, and then stores FAILURE for the next step, before or after that has
    stored its own result."""
    for worker, states, calls in (("canvas", {"FAILURE"}, 0), ("celery", {"FAILURE", "SUCCESS"}, 1)):
        pair = of(pairs, "celery", worker)
        key = pair.bench.new_key()
        first = pair.si("unwritable")
        first.link(pair.si("noted", 1, key))
        result = pair.lib.chain(first, pair.si("ident", 2)).apply_async()
        assert pair.bench.wait_state(pair.app, result.parent.id) == "FAILURE"
        assert pair.bench.wait_state(pair.app, result.id) in states
        settled(pair, uuid.uuid4().hex, 0)
        assert pair.bench.ledgers.llen(f"ledger:{key}") == calls


def test_results_ignored_in_a_nested_header_still_reach_the_body(pairs):
    pair = of(pairs, "canvas", "canvas")
    ignored = pair.s("ident", 7).set(ignore_result=True)
    nested = pair.s("ident", 1) | pair.lib.group(pair.si("ident", 2).set(ignore_result=True), pair.s("ident"))
    assert pair.run(pair.lib.chord([nested, ignored], pair.s("ident"))) == [[2, 1], 7]


def test_one_frozen_task_twice_in_a_header(pairs):
    """Celery sends it twice with one id, and waits for ever where both return the same."""
    stock = of(pairs, "celery", "canvas")
    once = stock.s("ident", 3)
    once.freeze()
    assert stock.run(stock.lib.chord([once, once], stock.s("ident"))) == [3, 3]
    ours = of(pairs, "canvas", "canvas")
    once = ours.s("ident", 3)
    once.freeze()
    with pytest.raises(ValueError, match=f"duplicate task id '{once.id}'"):
        ours.lib.chord([once, once], ours.s("ident")).apply_async()


def test_a_chain_can_be_applied_again(pairs):
    for client, second in (("canvas", 11), ("celery", 2)):
        pair = of(pairs, client, "canvas")
        chain = pair.s("ident") | pair.s("add", 1)
        assert chain.delay(1).get(timeout=20) == 2
        assert chain.delay(10).get(timeout=20) == second


def test_nested_groups_of_a_header_keep_their_order(pairs):
    for client, order in (("canvas", [1, 2, 3]), ("celery", [2, 1, 3])):
        pair = of(pairs, client, "canvas")
        header = [pair.lib.group(pair.s("ident", 1), pair.s("ident", 2)), pair.s("ident", 3)]
        assert pair.run(pair.lib.chord(header, pair.s("ident"))) == order


def test_a_members_own_callbacks_survive_those_of_its_chain(pairs):
    for worker, both in (("canvas", True), ("celery", False)):
        pair = of(pairs, "celery", worker)
        own, all_members = pair.bench.new_key(), pair.bench.new_key()
        member = pair.s("ident")
        member.link(pair.s("noted", own))
        chain = pair.s("ident", 0) | pair.lib.group(member, pair.s("ident"))
        chain.link(pair.s("noted", all_members))
        pair.run(chain)
        assert len(pair.bench.ledger(all_members, 2)) == 2
        settled(pair, uuid.uuid4().hex, 0)
        assert (pair.bench.ledgers.llen(f"ledger:{own}") == 1) is both


def test_a_bodys_priority_survives_the_chain_it_is_in(pairs):
    """A Celery worker sends such a body with none."""
    for worker, priority in (("canvas", 6), ("celery", 0)):
        pair = of(pairs, "canvas", worker)
        body = pair.s("priority").set(priority=6)
        chain = pair.s("ident", 0) | pair.lib.chord([pair.s("ident"), pair.s("ident")], body)
        assert pair.run(chain) == priority


def test_what_follows_two_groups_runs_once(pairs):
    """A Celery client has it run once for each member of the second group."""
    for client, times in (("canvas", 1), ("celery", 2)):
        pair = of(pairs, client, "canvas")
        key = pair.bench.new_key()
        pairs_of = [pair.lib.group(pair.si("ident", 1), pair.si("ident", 2)) for _ in range(2)]
        last = pair.lib.group(pair.s("noted", key), pair.si("ident", 3))
        pair.lib.chain(*pairs_of, last).apply_async()
        pair.bench.ledger(key, times)
        settled(pair, uuid.uuid4().hex, 0)
        assert pair.bench.ledgers.llen(f"ledger:{key}") == times


@pytest.mark.parametrize("client", ["celery", "canvas"])
def test_a_revoked_header_task_fails_the_body_on_both(pairs, client):
    for worker in ("canvas", "celery"):
        pair = of(pairs, client, worker)
        revoked = pair.s("ident", 1)
        revoked.freeze()
        inspect = pair.app.control.inspect(limit=1, timeout=20)
        pair.app.control.revoke(revoked.id)
        eventually(lambda: revoked.id in next(iter(inspect.revoked().values())))  # noqa: B023 - called at once
        result = pair.lib.chord([revoked, pair.s("ident", 2)], pair.s("ident")).apply_async()
        assert pair.bench.wait_state(pair.app, result.id) == "FAILURE"


def test_a_body_that_is_a_chord_has_its_errbacks_called(pairs):
    """A Celery worker calls none of what a Celery client sends."""
    for client, worker, calls in (("canvas", "canvas", 1), ("canvas", "celery", 1), ("celery", "celery", 0)):
        pair = of(pairs, client, worker)
        key = pair.bench.new_key()
        body = pair.lib.chord(
            [pair.s("ident"), pair.s("ident")], pair.s("ident").on_error(pair.s("errback_by_id", key))
        )
        pair.lib.chord([pair.s("fail"), pair.s("ident", 2)], body).apply_async()
        pair.bench.ledger(key, calls)
        settled(pair, uuid.uuid4().hex, 0)
        assert pair.bench.ledgers.llen(f"ledger:{key}") == calls


def test_keywords_of_a_call_reach_the_header_that_starts_a_chain(pairs):
    """A Celery client loses them."""
    for client, given in (("canvas", {"more": 1}), ("celery", {})):
        pair = of(pairs, client, "canvas")
        header = [pair.s("rec", "h"), pair.s("rec", "i")]
        chain = pair.lib.chain(pair.lib.chord(header, pair.s("ident")), pair.s("ident"), pair.s("ident"))
        found = chain.apply_async(kwargs={"more": 1}).get(timeout=20)
        assert found == [["h", [], given], ["i", [], given]]


def test_a_chord_with_nothing_in_its_header_gives_its_body_an_empty_list(pairs):
    """Celery loses it where the body is a chain that was built with options and starts with a group."""
    for client, expected in (
        ("canvas", [[[], ["a"], {}], [[], ["b"], {}]]),
        ("celery", [["a", [], {}], ["b", [], {}]]),
    ):
        pair = of(pairs, client, "canvas")
        group = pair.lib.group([pair.s("rec", "a"), pair.s("rec", "b")], app=pair.app)
        body = pair.lib.chain(group, pair.s("ident"), app=pair.app)
        assert pair.run(pair.lib.chord([], body, app=pair.app)) == expected
