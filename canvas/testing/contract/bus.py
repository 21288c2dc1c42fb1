"""Broadcasts and replies of remote control."""

from canvas.drivers.ports import Driver
from canvas.testing.contract.support import ContractSupport


class BusContract(ContractSupport):
    """Broadcasts and replies of remote control."""

    def test_broadcasts_reach_all_subscribers(self, driver: Driver) -> None:
        with driver.bus.subscribe("fan") as one, driver.bus.subscribe("fan") as two:
            driver.bus.broadcast("fan", b"to all")
            driver.bus.broadcast("other", b"to others")
            assert (one.next(5), two.next(5)) == (b"to all", b"to all")
            assert one.next(0.05) is None

    def test_replies_reach_only_the_caller(self, driver: Driver) -> None:
        with driver.bus.replies("reply.x", "one") as one, driver.bus.replies("reply.x", "two") as two:
            reply = self.envelope("r")
            driver.bus.reply("reply.x", "one", reply)
            answer = one.next(5)
            assert answer is not None and self.same(answer, reply)
            assert two.next(0.05) is None
        driver.bus.reply("reply.x", "one", self.envelope("nobody"))
        with driver.bus.replies("reply.x", "one") as again:
            assert again.next(0.05) is None
