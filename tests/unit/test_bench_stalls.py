"""The bounds of measurements, and how a table shows those that stall."""

import threading

from benchmarks.stalls import Stall, apart, cell, times, within
from benchmarks.table import Row


def test_a_measurement_that_takes_too_long_is_a_stall():
    assert within(0.05, threading.Event().wait, lambda: 3, 10) == Stall(3, 10)
    assert within(5, lambda: 1.5, lambda: 3, 10) == 1.5


def test_a_measurement_has_a_process_of_its_own():
    assert apart(lambda: within(0.05, threading.Event().wait, lambda: 3, 10), 30) == Stall(3, 10)


def test_a_table_shows_stalls_and_compares_the_rounds_without_one():
    row, stall = Row("noop", "tasks/s", "6x"), Stall(1200, 10_000)
    figures = {"canvas": [600.0, 900.0, 100.0], "celery": [100.0, stall, 50.0]}
    assert cell(figures["celery"]) == "75.0 (50.0 to 100); stalled after 1,200 of 10,000"
    assert times(row, figures) == "4.0x"
    assert (cell([stall]), times(row, {"canvas": [1.0], "celery": [stall]})) == ("stalled after 1,200 of 10,000", "–")
