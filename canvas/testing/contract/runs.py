"""Runs of workflows: fields, attempts, the chords that start them."""

import time
from concurrent.futures import ThreadPoolExecutor

from canvas.drivers.ports import Driver
from canvas.model.settlement import (
    ReadyChord,
)
from canvas.testing.contract.support import ContractSupport, chord_end


class RunRecordsContract(ContractSupport):
    """Runs of workflows: fields, attempts, the chords that start them."""

    def test_a_run_is_kept_and_listed(self, driver: Driver) -> None:
        runs = self._runs(driver)
        runs.save_run("first", {"about": b"1", "attempt": b"0"}, 60, time.time() - 1)
        runs.save_run("second", {"about": b"2", "attempt": b"0"}, 60, time.time())
        runs.save_run("first", {"about": b"3"}, 60, None)
        assert runs.read_run("first", ["about", "nothing", "attempt"]) == [b"3", None, b"0"]
        assert runs.read_run("nobody", ["about"]) == [None]
        assert runs.read_run("first", []) == []
        assert runs.list_runs(10) == ["second", "first"]
        assert runs.list_runs(1) == ["second"]

    def test_a_run_is_advanced_by_one_of_many_and_ready_to_start(self, driver: Driver) -> None:
        runs = self._runs(driver)
        runs.save_run("run", {"about": b"1", "attempt": b"0"}, 60, time.time())
        start = ReadyChord("run.1.start", b"how", [], None)
        with ThreadPoolExecutor(4) as pool:
            told = list(pool.map(lambda n: runs.begin_attempt("run", 0, {"about": b"2"}, 60, start), range(4)))
        assert sorted(told) == [False, False, False, True]
        assert runs.read_run("run", ["about", "attempt"]) == [b"2", b"1"]
        assert driver.settler.stale_ready_chords(0) == [start]
        assert [
            driver.settler.dispatch_chord(chord_end("run.1.start", self.publish("begun"))).held for _ in range(2)
        ] == [
            True,
            False,
        ]
        assert self.ids(self._lease(driver)) == ["begun"]
        assert driver.settler.stale_ready_chords(0) == []
        assert runs.begin_attempt("run", 1, {"about": b"3"}, 60, None) is True
        assert runs.begin_attempt("nobody", 0, {"about": b"4"}, 60, None) is False
