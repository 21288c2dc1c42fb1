"""Entries of periodic tasks: writes by revision, due times, and the messages that a write sends."""

import time
from concurrent.futures import ThreadPoolExecutor

from canvas.drivers.ports import Driver
from canvas.drivers.ports.schedules import EntryWrite, ScheduleStore
from canvas.model.settlement import ChordStart, Settlement
from canvas.testing.contract.mailboxes import resolve, take
from canvas.testing.contract.support import ContractSupport, part


class ScheduleStoreContract(ContractSupport):
    """Entries of periodic tasks: writes by revision, due times, and the messages that a write sends."""

    def _sending(self, *task_ids: str, chord_starts: list[ChordStart] | None = None) -> Settlement:
        publishes = [self.publish(task_id) for task_id in task_ids]
        return Settlement(None, fence="none", chord_starts=chord_starts or [], publishes=publishes)

    def _schedules(self, driver: Driver) -> ScheduleStore:
        assert driver.schedules is not None
        return driver.schedules

    def test_an_entry_is_written_read_and_removed(self, driver: Driver) -> None:
        schedules = self._schedules(driver)
        assert schedules.write(EntryWrite("s", "one", 0, 5.25, b"state", b"\xff what")).held
        assert schedules.read("s") == schedules.read("s", ["one", "two"])
        (entry,) = schedules.read("s")
        assert entry == ("one", 1, 5.25, b"state", b"\xff what")
        assert schedules.write(EntryWrite("s", "one", 1, None, b"paused")).held
        assert schedules.read("s") == [("one", 2, None, b"paused", b"\xff what")]
        assert schedules.read("other") == []
        assert (schedules.remove("s", ["one", "two"]), schedules.remove("s", [])) == (1, 0)
        assert schedules.read("s") == []

    def test_a_write_needs_the_revision_that_it_has_read(self, driver: Driver) -> None:
        schedules = self._schedules(driver)
        assert not schedules.write(EntryWrite("s", "one", 1, 5.0, b"")).held
        assert schedules.write(EntryWrite("s", "one", 0, 5.0, b"first", b"")).held
        assert not schedules.write(EntryWrite("s", "one", 0, 6.0, b"second", b"")).held
        assert schedules.read("s") == [("one", 1, 5.0, b"first", b"")]

    def test_due_entries_come_in_order_and_the_next_is_known(self, driver: Driver) -> None:
        schedules, now = self._schedules(driver), time.time()
        for name, due in (
            ("late", now - 5),
            ("later", now - 9),
            ("soon", now + 50),
            ("far", now + 90),
            ("never", None),
        ):
            schedules.write(EntryWrite("s", name, 0, due, name.encode(), b""))
        found = schedules.due("s", 10)
        assert [entry.name for entry in found.entries] == ["later", "late"]
        assert found.entries[0].state == b"later" and found.entries[0].revision == 1
        assert found.next_due is not None and abs(found.next_due - now - 50) < 0.001
        assert abs(found.now - time.time()) < 5
        assert [entry.name for entry in schedules.due("s", 1).entries] == ["later"]
        assert schedules.due("other", 10)[1:] == ([], None)

    def test_many_claim_a_tick_and_one_sends(self, driver: Driver) -> None:
        schedules = self._schedules(driver)
        schedules.write(EntryWrite("s", "one", 0, 5.0, b"", b""))

        def claim(n: int) -> bool:
            return schedules.write(EntryWrite("s", "one", 1, 9.0, b"", None), self._sending(f"tick {n}")).held

        with ThreadPoolExecutor(4) as pool:
            held = list(pool.map(claim, range(8)))
        assert sum(held) == 1
        assert self.ids(self._lease(driver)) == [f"tick {held.index(True)}"]

    def test_a_tick_starts_a_run_that_waits(self, driver: Driver) -> None:
        assert driver.runs is not None
        driver.runs.save_run("run", {"about": b"1", "attempt": b"0"}, 60, time.time())
        schedules = self._schedules(driver)
        schedules.write(EntryWrite("s", "one", 0, 5.0, b"", b""))
        starting = self._sending("a")._replace(mail=[take("nap")])
        assert schedules.write(EntryWrite("s", "one", 1, 9.0, b""), starting).held
        found = driver.settler.settle([Settlement(None, fence="none", mail=[resolve("nap", b"awake")])]).verdicts
        assert [(one.group_id, one.parts) for one in found[0].ready] == [("run.nap", [b"awake"])]

    def test_a_tick_starts_chords(self, driver: Driver) -> None:
        schedules = self._schedules(driver)
        schedules.write(EntryWrite("s", "one", 0, 5.0, b"", b""))
        starting = self._sending("a", "b", chord_starts=[ChordStart("g", 2, 60, None)])
        assert schedules.write(EntryWrite("s", "one", 1, 9.0, b""), starting).held
        assert not schedules.write(EntryWrite("s", "one", 1, 9.0, b""), starting).held
        assert sorted(self.ids(self._lease(driver))) == ["a", "b"]
        assert self._settle(driver, part("g", "a", 0)) == []
        assert [chord.group_id for chord in self._settle(driver, part("g", "b", 1))] == ["g"]
