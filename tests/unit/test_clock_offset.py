"""How far a server's clock is ahead, by a call that may have taken any time."""

import time

import pytest

from canvas.drivers.ports.values import clock_offset


def test_a_call_that_takes_long_says_nothing_of_the_clock():
    """The server may have read its clock at any moment of the call."""
    now = time.time()
    assert clock_offset(now - 30, now - 60) == 0


@pytest.mark.parametrize("ahead", [30, -30])
def test_a_clock_that_is_wrong(ahead):
    now = time.time()
    assert clock_offset(now + ahead, now) == pytest.approx(ahead, abs=20)


def test_a_clock_that_was_behind_before_the_call():
    now = time.time()
    assert clock_offset(now - 70, now - 60) == pytest.approx(-10)
