"""Chords: parts, sizes, their one end."""

from concurrent.futures import ThreadPoolExecutor

from canvas.drivers.ports import Driver
from canvas.drivers.ports.values import Lease
from canvas.model.settlement import (
    ChordExtension,
    ChordStart,
    Keep,
    Part,
    ResultWrite,
    Settlement,
    SettleResult,
    SpeculativeDispatch,
)
from canvas.testing.contract.support import ContractSupport, chord_end, eventually, part


class ChordStoreContract(ContractSupport):
    """Chords: parts, sizes, their one end."""

    def test_the_last_part_makes_a_chord_ready_once(self, driver: Driver) -> None:
        self._chords(driver).start_chords([ChordStart("g", 3, 60)])
        parts = [part("g", "b", 1), part("g", "c", 2), part("g", "a", 0), part("g", "a", 0)]
        found = [self._settle(driver, one) for one in parts]
        assert [len(ready) for ready in found] == [0, 0, 1, 0]
        ready = found[2][0]
        assert (ready.group_id, ready.callback, ready.structure) == ("g", b"fire a", None)
        assert ready.parts == [b"value of a", b"value of b", b"value of c"]

    def test_a_part_is_counted_once(self, driver: Driver) -> None:
        self._chords(driver).start_chords([ChordStart("g", 2, 60)])
        for _ in range(3):
            assert self._settle(driver, part("g", "a", 0)) == []
        assert self._settle(driver, part("g", "b", 1))

    def test_parts_may_come_before_the_size(self, driver: Driver) -> None:
        self._settle(driver, part("g", "a", 0))
        self._chords(driver).start_chords([ChordStart("g", 2, 60)])
        assert self._settle(driver, part("g", "b", 1))

    def test_a_grown_chord_waits_for_more(self, driver: Driver) -> None:
        self._chords(driver).start_chords([ChordStart("g", 1, 60)], [ChordExtension("g", "a:0:0")])
        assert not self._settle(driver, part("g", "a", 0))
        ready = self._settle(driver, part("g", "b", None))
        assert ready[0].parts == [b"value of a", b"value of b"]

    def test_an_extension_that_is_made_again_counts_once(self, driver: Driver) -> None:
        """A task that runs again, or a call that is repeated, adds the same part."""
        chords = self._chords(driver)
        chords.start_chords([ChordStart("g", 1, 60)])
        for names in (["one"], ["one", "two"], ["two"]):
            chords.start_chords([], [ChordExtension("g", name) for name in names])
        assert not self._settle(driver, part("g", "a", 0))
        assert not self._settle(driver, part("g", "b", None))
        assert self._settle(driver, part("g", "c", None))

    def test_one_task_in_two_places_is_two_parts(self, driver: Driver) -> None:
        value = b'[1, "a", "SUCCESS", 7]'
        twice = [Part("g", "a", place, value, b"fire", 60) for place in (0, 1)]
        assert not self._settle(driver, twice[0], chord_starts=[ChordStart("g", 2, 60)])
        ready = self._settle(driver, twice[1])
        assert [one.strip() for one in ready[0].parts] == [value, value]

    def test_a_saved_structure_comes_with_the_ready_chord(self, driver: Driver) -> None:
        ready = self._settle(driver, part("g", "a", 0), chord_starts=[ChordStart("g", 1, 60, b"structure")])
        assert ready[0].structure == b"structure"

    def test_exactly_one_of_many_dispatches_a_chord(self, driver: Driver) -> None:
        self._settle(driver, part("g", "a", 0), chord_starts=[ChordStart("g", 1, 60)])
        with ThreadPoolExecutor(8) as threads:
            held = list(
                threads.map(
                    lambda _: driver.settler.dispatch_chord(chord_end("g", self.publish("body"))).held, range(16)
                )
            )
        assert held.count(True) == 1
        assert self.ids(self._lease(driver)) == ["body"]

    def test_only_who_ends_a_chord_stores_how(self, driver: Driver) -> None:
        self._settle(driver, part("g", "a", 0), chord_starts=[ChordStart("g", 1, 60)])
        assert driver.settler.dispatch_chord(chord_end("g", failed=True)).held
        late = chord_end("g", self.publish("body"), failed=True, parts=[part("outer", "g", 0)._replace(size=1)])
        late = late._replace(stores=[ResultWrite("body", b"{}", 60, False)], chord_starts=[ChordStart("other", 1, 60)])
        assert driver.settler.dispatch_chord(late) == SettleResult(False, [])
        assert (self._results(driver).get(["body"]), self._lease(driver)) == ([None], [])

    def test_chords_may_be_kept_for_longer(self, driver: Driver) -> None:
        self._chords(driver).start_chords([ChordStart("g", 2, 1)])
        driver.settler.settle([Settlement(None, fence="none", keeps=[Keep("g", 60), Keep("nothing", 60)])])
        assert self._settle(driver, part("g", "a", 0)) == []
        driver.settler.renew(0.01)
        assert [ready.lost for ready in self._settle(driver, part("g", "b", 1))] == [False]

    def test_a_chord_that_is_sent_again_ends_again(self, driver: Driver) -> None:
        for _ in range(2):
            self._settle(driver, part("g", "a", 0), chord_starts=[ChordStart("g", 1, 60)])
            assert driver.settler.dispatch_chord(chord_end("g", self.publish("body"))).held
            assert self.ids(self._lease(driver)) == ["body"]

    def test_late_parts_of_a_dispatched_chord_have_no_effect(self, driver: Driver) -> None:
        self._settle(driver, part("g", "a", 0), chord_starts=[ChordStart("g", 1, 60)])
        driver.settler.dispatch_chord(chord_end("g"))
        assert self._settle(driver, part("g", "a", 0)) == []
        assert driver.settler.stale_ready_chords(0) == []

    def test_a_ready_chord_that_is_not_dispatched_is_found(self, driver: Driver) -> None:
        self._settle(driver, part("g", "a", 0), chord_starts=[ChordStart("g", 1, 60)])
        assert driver.settler.stale_ready_chords(60) == []
        found = eventually(lambda: driver.settler.stale_ready_chords(0))
        assert [(r.group_id, r.callback, r.parts) for r in found] == [("g", b"fire a", [b"value of a"])]
        assert driver.settler.dispatch_chord(chord_end("g", self.publish("body"))).held
        assert driver.settler.stale_ready_chords(0) == []

    def test_a_failed_chords_end_may_complete_the_outer_one(self, driver: Driver) -> None:
        self._settle(
            driver, part("inner", "a", 0), chord_starts=[ChordStart("outer", 1, 60), ChordStart("inner", 1, 60)]
        )
        verdict = driver.settler.dispatch_chord(chord_end("inner", failed=True, parts=[part("outer", "body", 0)]))
        assert verdict.held
        assert [ready.group_id for ready in verdict.ready] == ["outer"]

    def test_chords_end_in_the_exchange_that_settles_and_leases(self, driver: Driver) -> None:
        delivery = self._one(driver, task_id="a")
        self._settle(driver, part("g", "a", 0), chord_starts=[ChordStart("g", 1, 60), ChordStart("outer", 1, 60)])
        end = chord_end("g", self.publish("body"), parts=[part("outer", "g", 0)])
        settled = driver.settler.settle([Settlement(delivery)], Lease("w1", ("q",), 5), [end, end])
        assert [verdict.held for verdict in settled.dispatched] == [True, False]
        assert [ready.group_id for ready in settled.dispatched[0].ready] == ["outer"]
        assert [verdict.held for verdict in settled.verdicts] == [True]
        assert self.ids(settled.deliveries) == ["body"]
        assert driver.settler.settle([]).dispatched == []

    def test_parts_may_bring_their_number(self, driver: Driver) -> None:
        first, second = (part("sized", name, at)._replace(size=2) for at, name in enumerate("ab"))
        assert self._settle(driver, first) == []
        assert self._settle(driver, first) == []
        (ready,) = self._settle(driver, second)
        assert (ready.callback, ready.parts) == (b"fire b", [b"value of a", b"value of b"])
        assert driver.settler.dispatch_chord(chord_end("sized")).held
        assert self._settle(driver, second) == []

    def _speculate(self, driver: Driver, last: Part, *values: bytes, then: list[Part] | None = None) -> SettleResult:
        """The outcome of a settlement that foresees the end of its chord, with these parts."""
        speculative = [SpeculativeDispatch.of(chord_end(last.group_id, self.publish("body"), parts=then), values)]
        driver.broker.publish([self.publish(queue="done")])
        (delivery,) = self._lease(driver, 1, "done")
        return driver.settler.settle([Settlement(delivery, parts=[last], speculative=speculative)]).verdicts[0]

    def test_a_speculative_dispatch_is_applied_once_or_the_chord_is_ready(self, driver: Driver) -> None:
        first, last = (part("sized", name, at)._replace(size=2) for at, name in enumerate("ab"))
        self._settle(driver, first)
        outer = part("outer", "sized", 0)._replace(size=1)
        verdict = self._speculate(driver, last, first.value, last.value, then=[outer])
        if verdict.ended:
            assert (list(verdict.ended), [ready.group_id for ready in verdict.ready]) == (["sized"], ["outer"])
        else:
            assert [ready.group_id for ready in verdict.ready] == ["sized"]
            assert driver.settler.dispatch_chord(chord_end("sized", self.publish("body"))).held
        assert self.ids(self._lease(driver)) == ["body"]
        again = self._speculate(driver, last, first.value, last.value, then=[outer])
        assert (list(again.ended), list(again.ready), self._lease(driver)) == ([], [], [])
        assert not driver.settler.dispatch_chord(chord_end("sized")).held

    def test_a_speculative_dispatch_of_other_parts_is_not_applied(self, driver: Driver) -> None:
        first, last = (part("sized", name, at)._replace(size=2) for at, name in enumerate("ab"))
        early = self._speculate(driver, first, first.value, last.value)
        assert (list(early.ended), list(early.ready)) == ([], [])
        wrong = self._speculate(driver, last, b"another value", last.value)
        assert list(wrong.ended) == []
        assert [ready.parts for ready in wrong.ready] == [[first.value, last.value]]
        assert self._lease(driver) == []
        assert driver.settler.dispatch_chord(chord_end("sized")).held
