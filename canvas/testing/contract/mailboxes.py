"""Mailboxes of workflows' runs."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from canvas.drivers.ports import Driver
from canvas.model.settlement import MailboxStep, ReadyChord, Settlement, SettleResult, SpeculativeDispatch
from canvas.testing.contract.support import ContractSupport, chord_end, part


def post(value: str, mailbox: str = "m", run: str = "run") -> MailboxStep:
    return MailboxStep(run, mailbox, "post", value, value.encode())


def offer(value: str, mailbox: str = "m", run: str = "run") -> MailboxStep:
    return post(value, mailbox, run)._replace(kind="offer")


def take(wait: str, mailbox: str = "m", run: str = "run") -> MailboxStep:
    return MailboxStep(run, mailbox, "take", wait, None, f"{run}.{wait}", b"fire " + wait.encode(), 60, 60)


def resolve(wait: str, value: bytes | None, mailbox: str = "m", run: str = "run") -> MailboxStep:
    return MailboxStep(run, mailbox, "resolve", wait, value)


class MailboxContract(ContractSupport):
    """Values and waits of a run, matched in their order."""

    def _mail(self, driver: Driver, *steps: MailboxStep) -> list[tuple[str, bytes, list[bytes]]]:
        """Take these steps of mailboxes. Returns the chords that became ready: group, callback, parts."""
        ready = driver.settler.settle([Settlement(None, fence="none", mail=list(steps))]).verdicts[0].ready
        return [(one.group_id, one.callback, one.parts) for one in ready]

    def _run(self, driver: Driver) -> None:
        self._runs(driver).save_run("run", {"about": b"1", "attempt": b"0"}, 60, time.time())

    def test_a_value_reaches_the_wait_that_came_first(self, driver: Driver) -> None:
        self._run(driver)
        assert self._mail(driver, take("a"), take("b")) == []
        assert self._mail(driver, post("one")) == [("run.a", b"fire a", [b"one"])]
        assert self._mail(driver, post("two"), post("three")) == [("run.b", b"fire b", [b"two"])]
        assert self._runs(driver).read_mail("run") == {"m": [b"three"]}

    def test_values_are_kept_for_waits_to_come_in_their_order(self, driver: Driver) -> None:
        self._run(driver)
        assert self._mail(driver, *(post(f"v{n}") for n in range(12)), post("x", "m:other")) == []
        kept = [f"v{n}".encode() for n in range(12)]
        assert self._runs(driver).read_mail("run") == {"m": kept, "m:other": [b"x"]}
        for number in range(12):
            assert [parts for _, _, parts in self._mail(driver, take(str(number)))] == [[kept[number]]]
        assert self._runs(driver).read_mail("run") == {"m:other": [b"x"]}

    def test_an_offer_reaches_a_wait_or_has_no_effect(self, driver: Driver) -> None:
        self._run(driver)
        assert self._mail(driver, offer("one"), take("a"), take("b"), take("c"), resolve("a", None)) == []
        assert self._mail(driver, offer("one"), offer("one"), post("one")) == [("run.b", b"fire b", [b"one"])]
        assert self._mail(driver, post("two"), offer("two"), offer("three")) == [("run.c", b"fire c", [b"two"])]
        assert self._mail(driver, post("three"), offer("three"), offer("four")) == []
        assert self._runs(driver).read_mail("run") == {"m": [b"three"]}

    def test_it_knows_the_values_that_it_took(self, driver: Driver) -> None:
        self._run(driver)
        assert self._mail(driver, offer("one"), take("a"), offer("two"), post("three")) == [
            ("run.a", b"fire a", [b"two"])
        ]
        runs = self._runs(driver)
        assert [runs.took_mail("run", "m", value) for value in ("one", "two", "three")] == [False, True, True]
        assert not runs.took_mail("run", "other", "two") and not runs.took_mail("gone", "m", "two")

    def test_each_step_counts_once(self, driver: Driver) -> None:
        self._run(driver)
        assert self._mail(driver, take("a"), take("a")) == []
        assert len(self._mail(driver, post("one"), post("one"))) == 1
        assert self._mail(driver, take("a"), post("one")) == []
        assert self._mail(driver, post("two"), post("two")) == []
        assert self._runs(driver).read_mail("run") == {"m": [b"two"]}

    def test_a_wait_is_resolved_once_past_the_mailbox(self, driver: Driver) -> None:
        self._run(driver)
        self._mail(driver, take("a"), take("b"), take("c"))
        assert self._mail(driver, resolve("b", b"late")) == [("run.b", b"fire b", [b"late"])]
        assert self._mail(driver, resolve("b", b"later")) == []
        assert [group for group, _, _ in self._mail(driver, post("one"), post("two"))] == ["run.a", "run.c"]
        assert self._mail(driver, resolve("a", b"late"), resolve("c", None)) == []

    def test_a_wait_may_be_resolved_before_it_begins(self, driver: Driver) -> None:
        self._run(driver)
        assert self._mail(driver, resolve("a", b"early"), resolve("b", None), post("one")) == []
        assert self._mail(driver, take("a")) == [("run.a", b"fire a", [b"early"])]
        assert self._mail(driver, take("b"), take("a")) == []
        assert self._runs(driver).read_mail("run") == {"m": [b"one"]}

    def test_a_wait_that_ends_without_a_value_takes_none(self, driver: Driver) -> None:
        self._run(driver)
        self._mail(driver, take("a"))
        assert self._mail(driver, resolve("a", None)) == []
        assert self._mail(driver, post("one"), take("a")) == []
        assert [parts for _, _, parts in self._mail(driver, take("b"))] == [[b"one"]]

    def test_the_chord_of_a_wait_ends_once_and_is_found_when_nobody_ends_it(self, driver: Driver) -> None:
        self._run(driver)
        self._mail(driver, take("a"), post("one"))
        ready = ReadyChord("run.a", b"fire a", [b"one"], None)
        assert driver.settler.stale_ready_chords(0) == [ready]
        end = chord_end("run.a", self.publish("after"))
        assert [driver.settler.dispatch_chord(end).held for _ in range(2)] == [True, False]
        assert self.ids(self._lease(driver)) == ["after"]
        assert driver.settler.stale_ready_chords(0) == []

    def test_the_end_of_a_chord_changes_mailboxes_with_it(self, driver: Driver) -> None:
        self._run(driver)
        self._mail(driver, take("a"), post("one"))
        end = chord_end("run.a")._replace(mail=[take("b"), post("two")])
        assert [one.group_id for one in driver.settler.dispatch_chord(end).ready] == ["run.b"]

    def _foresee(self, driver: Driver, step: MailboxStep, value: bytes, callback: bytes) -> SettleResult:
        """The outcome of a step that foresees the end of the chord of wait ``a``, with this value and callback."""
        end = chord_end("run.a", self.publish("after"), parts=[part("outer", "a", 0)._replace(size=1)])
        speculative = [SpeculativeDispatch.of(end, [value], callback)]
        return driver.settler.settle([Settlement(None, fence="none", mail=[step], speculative=speculative)]).verdicts[0]

    @pytest.mark.parametrize("step", [offer("one"), resolve("a", b"one")])
    def test_the_end_of_a_wait_that_was_foreseen_is_applied_once(self, driver: Driver, step: MailboxStep) -> None:
        self._run(driver)
        self._mail(driver, take("a"))
        verdict = self._foresee(driver, step, b"one", b"fire a")
        if verdict.ended:
            assert (list(verdict.ended), [ready.group_id for ready in verdict.ready]) == (["run.a"], ["outer"])
        else:
            assert [ready.parts for ready in verdict.ready] == [[b"one"]]
            assert driver.settler.dispatch_chord(chord_end("run.a", self.publish("after"))).held
        assert self.ids(self._lease(driver)) == ["after"]
        again = self._foresee(driver, step, b"one", b"fire a")
        assert (list(again.ended), list(again.ready), self._lease(driver)) == ([], [], [])
        assert "run.a" not in [ready.group_id for ready in driver.settler.stale_ready_chords(0)]

    @pytest.mark.parametrize(("value", "callback"), [(b"two", b"fire a"), (b"one", b"fire b")])
    def test_another_end_of_a_wait_than_foreseen_is_handed_out(
        self, driver: Driver, value: bytes, callback: bytes
    ) -> None:
        self._run(driver)
        assert not self._foresee(driver, offer("one"), value, callback).ready
        self._mail(driver, take("a"))
        verdict = self._foresee(driver, offer("one"), value, callback)
        assert not verdict.ended
        assert [(ready.callback, ready.parts) for ready in verdict.ready] == [(b"fire a", [b"one"])]
        assert self._lease(driver) == []

    def test_a_value_and_a_timeout_at_once_resolve_a_wait_once(self, driver: Driver) -> None:
        self._run(driver)
        for number in range(20):
            self._mail(driver, take(str(number)))
            steps = [post(f"v{number}"), resolve(str(number), b"timeout"), resolve(str(number), b"cancel")]
            with ThreadPoolExecutor(3) as pool:
                found = list(pool.map(lambda step: self._mail(driver, step), steps))
            assert sum(map(len, found)) == 1
            kept = self._runs(driver).read_mail("run").get("m", [])
            assert bool(kept) != bool(found[0])
            self._mail(driver, *(take(f"{number} {place}") for place, _ in enumerate(kept)))

    def test_the_mailbox_of_a_run_that_is_not_kept_takes_nothing(self, driver: Driver) -> None:
        assert self._mail(driver, take("a"), post("one"), offer("two"), resolve("b", b"value")) == []
        self._run(driver)
        assert self._mail(driver, take("a")) == []
        assert self._runs(driver).read_mail("run") == {}
