"""Broadcasts and replies of remote control."""

from canvas.drivers.ports import Driver
from canvas.testing.contract.support import ContractSupport, envelope


class BusContract(ContractSupport):
    """Broadcasts and replies of remote control."""

    def test_broadcasts_reach_all_who_listen(self, driver: Driver) -> None:
        with driver.broker.subscribe("fan") as one, driver.broker.subscribe("fan") as two:
            driver.broker.broadcast("fan", b"to all")
            driver.broker.broadcast("other", b"to others")
            assert (one.next(5), two.next(5)) == (b"to all", b"to all")
            assert one.next(0.05) is None

    def test_replies_reach_only_who_asked(self, driver: Driver) -> None:
        with driver.broker.replies("reply.x", "one") as one, driver.broker.replies("reply.x", "two") as two:
            reply = envelope("r")
            driver.broker.reply("reply.x", "one", reply)
            assert one.next(5) == reply
            assert two.next(0.05) is None
        driver.broker.reply("reply.x", "one", envelope("nobody"))
        with driver.broker.replies("reply.x", "one") as again:
            assert again.next(0.05) is None
