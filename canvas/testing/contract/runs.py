"""Runs of workflows: fields, attempts, the chords that start them."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from canvas.drivers.ports import Driver
from canvas.drivers.ports.runs import NewAttempt
from canvas.model.run_index import RunListing, RunQuery
from canvas.model.settlement import ReadyChord, ResultWrite, RunWrite, Settlement
from canvas.testing.contract.mailboxes import post, resolve, take
from canvas.testing.contract.support import ContractSupport, chord_end, eventually


class RunRecordsContract(ContractSupport):
    """Runs of workflows: fields, attempts, the chords that start them."""

    def test_records_of_a_run_expire_with_it(self, driver: Driver) -> None:
        results = self._results(driver)
        self._runs(driver).save_run("run", {"about": b"1", "attempt": b"0"}, 60, time.time())
        results.store(
            [ResultWrite("a", b"a", 60, True), ResultWrite("b", b"b", 60, True), ResultWrite("c", b"c", 1, True)]
        )
        self._runs(driver).expire_run("run", 60, ["c", "nothing"], 60)
        self._runs(driver).expire_run("run", 60, ["a"], 1)
        eventually(lambda: results.get(["a", "b", "c"]) == [None, b"b", b"c"])
        assert self._runs(driver).read_run("run", ["about"]) == [b"1"]

    def test_nothing_of_a_run_expires_that_has_begun_another_attempt(self, driver: Driver) -> None:
        results, runs = self._results(driver), self._runs(driver)
        for run in ("run", "inside"):
            runs.save_run(run, {"about": b"1", "attempt": b"0"}, 60, time.time())
            results.store([ResultWrite(f"{run}.0", b"record", 60, True)])
        assert runs.begin_attempt("run", NewAttempt(0, {}, 60, None))
        runs.expire_run("run", 1, ["run.0"], 1, ("run", 0))
        runs.expire_run("inside", 1, ["inside.0"], 1, ("run", 0))
        runs.expire_run("run", 1, ["run.0"], 1, ("nobody", 0))
        results.store([ResultWrite("last", b"record", 60, True)])
        runs.expire_run("nothing", 1, ["last"], 1, ("run", 1))
        eventually(lambda: results.get(["last"]) == [None])
        assert results.get(["run.0", "inside.0"]) == [b"record"] * 2
        assert runs.read_runs(["run", "inside"], ["about"]) == [[b"1"]] * 2

    many = 1_200
    """Runs that one test starts; more than 800, so that they are of two moments."""

    def test_a_run_is_kept_and_listed(self, driver: Driver) -> None:
        runs = self._runs(driver)
        runs.save_run("first", {"about": b"1", "attempt": b"0"}, 60, time.time() - 1, RunListing("etl"))
        runs.save_run("second", {"about": b"2", "attempt": b"0"}, 60, time.time(), RunListing("etl"))
        runs.save_run("first", {"about": b"3"}, 60, None)
        assert runs.read_run("first", ["about", "nothing", "attempt"]) == [b"3", None, b"0"]
        assert runs.read_run("nobody", ["about"]) == [None]
        assert runs.read_run("first", []) == []
        assert runs.read_runs(["second", "nobody", "first"], ["about"]) == [[b"2"], [None], [b"3"]]
        assert self._found(driver) == ["second", "first"]
        assert self._found(driver, limit=1) == ["second"]

    def test_a_run_is_advanced_by_one_of_many_and_ready_to_start(self, driver: Driver) -> None:
        runs = self._runs(driver)
        runs.save_run("run", {"about": b"1", "attempt": b"0"}, 60, time.time())
        start = ReadyChord("run.1.start", b"how", [], None)
        with ThreadPoolExecutor(4) as pool:
            told = list(
                pool.map(lambda n: runs.begin_attempt("run", NewAttempt(0, {"about": b"2"}, 60, start)), range(4))
            )
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
        calls = ("first", "first", "second")
        assert [runs.begin_attempt("run", NewAttempt(1, {"about": b"3"}, 60, None, call=call)) for call in calls] == [
            1,
            1,
            0,
        ]
        assert runs.begin_attempt("nobody", NewAttempt(0, {"about": b"4"}, 60)) is False

    def test_a_settlement_writes_a_run_before_everything_else(self, driver: Driver) -> None:
        runs, new = self._runs(driver), RunWrite("run", {"about": b"1", "attempt": b"0"}, 60)
        settlement = Settlement(None, fence="none", runs=[new], mail=[post("one"), take("a")])
        (ready,) = driver.settler.settle([settlement]).verdicts[0].ready
        others = [RunWrite("kept", {"about": b"2"}, 0), RunWrite("short", {"about": b"3"}, 1)]
        assert driver.settler.dispatch_chord(chord_end(ready.group_id)._replace(runs=others)).held
        assert runs.read_run("run", ["about", "attempt"]) == [b"1", b"0"]
        assert self._found(driver) == []
        eventually(lambda: runs.read_run("short", ["about"]) == [None])
        assert runs.read_run("kept", ["about"]) == [b"2"]
        assert runs.begin_attempt("run", NewAttempt(0, {"about": b"4"}, 60))
        driver.settler.settle([settlement])
        assert runs.read_run("run", ["about", "attempt"]) == [b"4", b"1"]

    def _found(self, driver: Driver, **query: Any) -> list[str]:
        return [found.run for found in self._runs(driver).find_runs(RunQuery(**query))]

    def _start(self, driver: Driver, run: str, listing: RunListing, created: float, expires: int | None = 60) -> str:
        return self._runs(driver).save_run(run, {"about": run.encode(), "attempt": b"0"}, expires, created, listing)

    def _end(self, driver: Driver, run: str, state: str, attempt: int = 0) -> None:
        payload = f'{{"status": "{state}"}}'.encode()
        store = ResultWrite(run, payload, 60, state == "SUCCESS", run_state=state, run_attempt=attempt)
        driver.settler.settle([Settlement(None, fence="none", stores=[store])])

    def test_runs_are_found_by_all_that_a_query_gives(self, driver: Driver) -> None:
        runs, now = self._runs(driver), time.time()
        for at in range(6):
            labels = (("customer", str(at % 2)), ("size", "big" if at < 3 else "small"))
            self._start(driver, f"r{at}", RunListing("etl" if at % 3 else "report", labels), now - 10 + at)
        self._end(driver, "r1", "SUCCESS")
        self._end(driver, "r2", "FAILURE")
        assert self._found(driver) == ["r5", "r4", "r3", "r2", "r1", "r0"]
        assert self._found(driver, name="report") == ["r3", "r0"]
        assert self._found(driver, name="etl", states=("PENDING",)) == ["r5", "r4"]
        assert self._found(driver, states=("SUCCESS", "FAILURE")) == ["r2", "r1"]
        assert self._found(driver, labels=(("customer", "1"),)) == ["r5", "r3", "r1"]
        assert self._found(driver, labels=(("customer", "1"), ("size", "small")), name="etl") == ["r5"]
        assert self._found(driver, labels=(("customer", "2"),)) == []
        assert self._found(driver, since=now - 8, until=now - 6) == ["r3", "r2"]
        assert runs.count_runs(RunQuery(limit=1)) == 6
        assert runs.count_runs(RunQuery(since=now - 8)) == 4
        assert runs.count_runs(RunQuery(labels=(("customer", "1"),), name="etl")) == 2
        (found,) = runs.find_runs(RunQuery(states=("SUCCESS",)))
        assert (found.run, found.state) == ("r1", "SUCCESS")
        assert abs(found.created - (now - 9)) < 0.001

    def test_many_runs_of_one_moment_are_all_found(self, driver: Driver) -> None:
        now, count = time.time(), self.many
        for at in range(count):
            self._start(driver, f"r{at}", RunListing("etl", (("half", str(at % 2)),)), now + at // 800, 3_600)
        odd = self._found(driver, name="etl", labels=(("half", "1"),), limit=count)
        assert sorted(odd) == sorted(f"r{at}" for at in range(1, count, 2))
        later = [f"r{at}" for at in range(801, count, 2)]
        assert set(odd[: len(later)]) == set(later)

    def test_a_run_that_changes_its_state_is_found_once(self, driver: Driver) -> None:
        runs, query = self._runs(driver), RunQuery(name="etl")
        self._start(driver, "run", RunListing("etl"), time.time())
        changes = [("STARTED", "PENDING"), ("PENDING", "STARTED")] * 50
        with ThreadPoolExecutor(1) as pool:
            changing = [pool.submit(runs.list_run_as, "run", state, before) for state, before in changes]
            while not changing[-1].done():
                assert (len(runs.find_runs(query)), runs.count_runs(query)) == (1, 1)

    def test_a_run_is_listed_under_its_present_state(self, driver: Driver) -> None:
        runs = self._runs(driver)

        def states() -> list[str]:
            return [found.state for found in runs.find_runs(RunQuery(name="etl", labels=(("a", "b"),)))]

        self._start(driver, "run", RunListing("etl", (("a", "b"),)), time.time())
        assert states() == ["PENDING"]
        self._end(driver, "run", "STARTED")
        assert states() == ["STARTED"]
        self._start(driver, "run", RunListing("etl", (("a", "b"),)), time.time())
        assert states() == ["STARTED"]
        assert runs.mark_attempt("run", 0, {"cancelled": b"0"})
        assert states() == ["CANCELLING"]
        self._end(driver, "run", "FAILURE")
        assert states() == ["CANCELLED"]
        assert runs.begin_attempt("run", NewAttempt(0, {}, 60))
        assert states() == ["PENDING"]
        assert self._results(driver).get(["run"]) == [None]
        self._end(driver, "run", "SUCCESS", 1)
        self._end(driver, "run", "FAILURE", 1)
        assert states() == ["SUCCESS"]
        runs.list_run_as("run", "FAILURE", "STARTED")
        assert states() == ["SUCCESS"]
        runs.list_run_as("run", "FAILURE", "SUCCESS")
        assert states() == ["FAILURE"]
        assert runs.begin_attempt("run", NewAttempt(1, {}, 60, None, "OF_CELERY"))
        assert states() == ["OF_CELERY"]

    def test_the_success_of_an_attempt_gives_way_to_the_next(self, driver: Driver) -> None:
        runs, results = self._runs(driver), self._results(driver)
        self._start(driver, "run", RunListing("etl"), time.time())
        self._end(driver, "run", "SUCCESS")
        assert runs.begin_attempt("run", NewAttempt(0, {}, 60))
        self._end(driver, "run", "STARTED", 1)
        assert results.get(["run"]) == [b'{"status": "STARTED"}']

    @pytest.mark.parametrize("late", ["SUCCESS", "FAILURE", "STARTED"])
    def test_late_writes_of_an_earlier_attempt_change_nothing(self, driver: Driver, late: str) -> None:
        runs, results = self._runs(driver), self._results(driver)
        self._start(driver, "run", RunListing("etl"), time.time())
        assert runs.mark_attempt("run", 0, {"cancelled": b"0", "overdue": b"0"})
        assert runs.begin_attempt("run", NewAttempt(0, {"cancelled": b"1"}, 60))
        assert [found.state for found in runs.find_runs(RunQuery())] == ["CANCELLING"]
        assert [runs.mark_attempt("run", attempt, {"cancelled": b"0"}) for attempt in (0, 2)] == [False, False]
        self._end(driver, "run", late)
        assert results.get(["run"]) == [None]
        assert runs.read_run("run", ["cancelled", "overdue"]) == [b"1", b"0"]
        assert [found.state for found in runs.find_runs(RunQuery())] == ["CANCELLING"]
        self._end(driver, "run", "FAILURE", 1)
        assert results.get(["run"]) == [b'{"status": "FAILURE"}']
        assert [found.state for found in runs.find_runs(RunQuery())] == ["CANCELLED"]
        assert runs.mark_attempt("nobody", 0, {"cancelled": b"0"}) is False
        assert runs.read_run("nobody", ["cancelled"]) == [None]

    def test_an_attempt_does_not_begin_after_what_forbids_it(self, driver: Driver) -> None:
        runs = self._runs(driver)
        self._start(driver, "run", RunListing("etl"), time.time())
        assert [runs.mark_attempt("run", 0, {"undone": b"0"}) for _ in range(2)] == [True, True]
        assert runs.begin_attempt("run", NewAttempt(0, {"about": b"1"}, 60, unless="undone")) is False
        assert runs.read_run("run", ["about", "attempt"]) == [b"run", b"0"]
        assert runs.begin_attempt("run", NewAttempt(0, {"about": b"1"}, 60, unless="other"))
        assert runs.begin_attempt("run", NewAttempt(1, {"about": b"2"}, 60, unless="undone"))
        assert runs.read_run("run", ["about", "attempt"]) == [b"2", b"2"]

    def test_a_run_that_has_expired_is_not_listed(self, driver: Driver) -> None:
        runs, now = self._runs(driver), time.time()
        for run, created in (("kept", now - 2), ("short", now - 1), ("ended", now), ("old", now - 1_000)):
            self._start(driver, run, RunListing("etl", key=run), created, 1 if run in ("short", "old") else 60)
        runs.expire_run("ended", 1, [], 1)
        eventually(lambda: runs.read_run("short", ["about"]) == [None] == runs.read_run("ended", ["about"]))
        eventually(lambda: self._found(driver) == ["kept"])
        assert runs.count_runs(RunQuery(name="etl")) == 1
        assert self._start(driver, "again", RunListing("etl", key="short"), now) == "again"
        assert self._start(driver, "more", RunListing("etl", key="kept"), now) == "kept"
        runs.list_run_as("kept", "STARTED", "PENDING")
        self._start(driver, "late", RunListing("etl"), now - 3, 1)
        runs.expire_run("kept", 1, [], 1)
        eventually(lambda: self._found(driver) == ["again"])
        assert runs.count_runs(RunQuery(name="etl")) == 1

    def test_a_run_that_waits_for_a_value_stays_listed(self, driver: Driver) -> None:
        runs = self._runs(driver)

        def run_waits_in_time(name: str, seconds: int) -> str:
            now = time.time()
            for run in ("run", "other"):
                self._start(driver, f"{run}.{name}", RunListing(name, (("a", "b"),), key=run), now, seconds)
            driver.settler.settle([Settlement(None, fence="none", mail=[take("wait", run=f"run.{name}")])])
            return name if time.time() < now + seconds / 2 else ""

        name = run_waits_in_time("etl", 1) or run_waits_in_time("slow", 20)
        assert name
        eventually(lambda: runs.read_run(f"other.{name}", ["about"]) == [None])
        assert self._found(driver, name=name, labels=(("a", "b"),)) == [f"run.{name}"]
        assert runs.run_of_key(name, "run") == f"run.{name}"

    def test_runs_that_wait_and_expire_soon_are_found(self, driver: Driver) -> None:
        runs, now = self._runs(driver), time.time()
        for run in ("waits", "lasts", "resolved", "idle"):
            self._start(driver, run, RunListing("etl"), now)
        runs.save_run("unlisted", {"about": b"1", "attempt": b"0"}, 60, now)
        steps = [take("wait", run=run) for run in ("waits", "lasts", "resolved", "unlisted")]
        driver.settler.settle([Settlement(None, fence="none", mail=[*steps, resolve("wait", b"1", run="resolved")])])
        runs.expire_run("lasts", 1000, [], 1000)
        assert self._waiting(driver, 30) == []
        assert self._waiting(driver, 300) == ["unlisted", "waits"]
        runs.expire_run("unlisted", 1000, [], 1000)
        assert self._waiting(driver, 300) == ["waits"]
        assert self._waiting(driver, 3000) == ["lasts", "unlisted", "waits"]

    def _waiting(self, driver: Driver, seconds: float) -> list[str]:
        found, cursor = self._runs(driver).waiting_runs(seconds)
        while cursor:
            more, cursor = self._runs(driver).waiting_runs(seconds, cursor)
            found += more
        return sorted(found)

    def test_one_of_many_starts_the_run_of_a_key(self, driver: Driver) -> None:
        runs = self._runs(driver)

        def begin(run: str) -> str:
            fields, start = {"about": run.encode(), "attempt": b"0"}, ReadyChord(f"{run}.start", b"how", [], None)
            return runs.save_run(run, fields, 60, time.time(), RunListing("etl", key="monday"), start)

        with ThreadPoolExecutor(4) as pool:
            owners = set(pool.map(begin, [f"r{at}" for at in range(8)]))
        (owner,) = owners
        assert self._found(driver) == [owner]
        assert [ready.group_id for ready in driver.settler.stale_ready_chords(0)] == [f"{owner}.start"]
        assert begin(owner) == owner
        assert driver.settler.dispatch_chord(chord_end(f"{owner}.start")).held
        assert begin(owner) == owner
        assert driver.settler.stale_ready_chords(0) == []
        assert runs.run_of_key("etl", "monday") == owner
        assert runs.run_of_key("etl", "sunday") is None
        assert self._start(driver, "other", RunListing("report", key="monday"), time.time()) == "other"
        assert self._start(driver, "tuesday", RunListing("etl", key="tuesday"), time.time()) == "tuesday"

    def test_a_run_that_is_kept_again_does_not_start_again(self, driver: Driver) -> None:
        """The answer to the call was lost, and a worker has taken the start."""
        fields, start = {"about": b"1", "attempt": b"0"}, ReadyChord("run.start", b"how", [], None)
        for ends in (1, 0):
            assert self._runs(driver).save_run("run", fields, 60, time.time(), RunListing("etl"), start) == "run"
            assert driver.settler.dispatch_chord(chord_end("run.start")).held == ends
