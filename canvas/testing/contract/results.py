"""Result records, groups, and watching for them."""

import asyncio

from canvas.drivers.ports import Driver
from canvas.model.record import Record
from canvas.model.settlement import (
    ResultWrite,
)
from canvas.testing.contract.support import ContractSupport, eventually
from canvas.wire.record import decode, encode


class ResultStoreContract(ContractSupport):
    """Result records, groups, and watching for them."""

    every_state = True
    """Whether a watch gives every state; ``False``: of states that follow each other at once it may give the last."""

    def test_records_are_kept_and_forgotten(self, driver: Driver) -> None:
        results = self._results(driver)
        results.store([ResultWrite("a", b"\x00binary\xff", 60, True), ResultWrite("b", b"{}", None, False)])
        assert results.get(["b", "none", "a"]) == [b"{}", None, b"\x00binary\xff"]
        assert results.read_prefix(["b", "none", "a"], 3) == [b"{}", b"", b"\x00bi"]
        assert asyncio.run(results.aread_prefix(["a", "none"], 100)) == [b"\x00binary\xff", b""]
        assert results.read_prefix([], 3) == []
        results.forget(["a", "none"])
        assert results.get(["a"]) == [None]

    def test_a_success_is_never_overwritten(self, driver: Driver) -> None:
        results = self._results(driver)
        results.store([ResultWrite("a", b'{"status": "SUCCESS", "n": 1}', 60, True)])
        results.store([ResultWrite("a", b'{"status": "FAILURE"}', 60, False)])
        assert results.get(["a"]) == [b'{"status": "SUCCESS", "n": 1}']
        results.store([ResultWrite("a", b'{"status": "SUCCESS", "n": 2}', 60, True)])
        assert results.get(["a"]) == [b'{"status": "SUCCESS", "n": 1}']

    def test_a_success_stays_though_its_bytes_do_not_show_it(self, driver: Driver) -> None:
        results = self._results(driver)
        record = Record("a", "SUCCESS", ["value"], None, [])
        failure = b'{"status": "FAILURE"}'
        hidden = [
            encode(record, compress="gzip"),
            encode(record, serializer="pickle"),
            b"whatever the driver makes of it",
        ]
        for payload in hidden:
            results.store([ResultWrite("a", payload, 60, True)])
            results.store([ResultWrite("a", failure, 60, False)])
            (stored,) = results.get(["a"])
            # A store that divides records into columns undoes the compression.
            assert stored == payload or decode(stored or b"", accept=["json"]).result == record.result
            # Forgotten, it protects nothing that is stored under its id later.
            results.forget(["a"])
            results.store([ResultWrite("a", b"\x00 no success", 60, False)])
            results.store([ResultWrite("a", failure, 60, False)])
            assert results.get(["a"]) == [failure]
            results.forget(["a"])

    def test_records_expire(self, driver: Driver) -> None:
        results = self._results(driver)
        results.store([ResultWrite("a", b"x", 1, True)])
        assert results.get(["a"]) == [b"x"]
        eventually(lambda: results.get(["a"]) == [None])

    def test_groups_are_kept_and_deleted(self, driver: Driver) -> None:
        results = self._results(driver)
        results.save_group("g", b"structure", 60)
        assert results.get_group("g") == b"structure"
        results.delete_group("g")
        assert results.get_group("g") is None

    def test_watch_gives_records_stored_before_and_after(self, driver: Driver) -> None:
        results = self._results(driver)
        results.store([ResultWrite("before", b"1", 60, True)])
        with results.watch(["before", "after"]) as watch:
            assert watch.next(5) == ("before", b"1")
            results.store([ResultWrite("other", b"x", 60, True), ResultWrite("after", b"2", 60, True)])
            assert watch.next(5) == ("after", b"2")
            assert watch.next(0.05) is None

    def test_watch_gives_every_state(self, driver: Driver) -> None:
        results = self._results(driver)
        states = [b"STARTED", b"RETRY", b"DONE"]
        with results.watch(["a"]) as watch:
            for state in states:
                results.store([ResultWrite("a", state, 60, False)])
            expected = states if self.every_state else states[-1:]
            assert [watch.next(5) for _ in expected] == [("a", state) for state in expected]

    def test_watch_drops_ids(self, driver: Driver) -> None:
        results = self._results(driver)
        with results.watch(["a", "b"]) as watch:
            watch.drop("a")
            results.store([ResultWrite("a", b"1", 60, True), ResultWrite("b", b"2", 60, True)])
            assert watch.next(5) == ("b", b"2")

    def test_awatch_gives_records_stored_before_and_after(self, driver: Driver) -> None:
        asyncio.run(self._awatch(driver))  # a plug-in of pytest for coroutines need not be installed

    async def _awatch(self, driver: Driver) -> None:
        results = self._results(driver)
        results.store([ResultWrite("before", b"1", 60, True)])
        async with results.awatch(["before", "after"]) as watch:
            assert await watch.next(5) == ("before", b"1")
            results.store([ResultWrite("after", b"2", 60, True)])
            assert await watch.next(5) == ("after", b"2")
            assert await watch.next(0.05) is None
        assert await results.aget(["after"]) == [b"2"]
