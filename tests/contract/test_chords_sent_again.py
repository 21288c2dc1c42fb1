"""A frozen chord that is sent again has the ids of its first run. Celery's client tells its size late."""

import pytest
import redis

from canvas.drivers import open_driver
from canvas.model.settlement import Settlement
from canvas.testing.contract import chord_end, part
from tests.support.apps import make


@pytest.fixture
def driver(redis_url):
    driver = open_driver(redis_url, redis_url)
    yield driver
    driver.broker.close()
    driver.results.close()


def settle(driver, *parts):
    return list(driver.settler.settle([Settlement(None, parts=list(parts))]).verdicts[0].ready)


def test_parts_of_the_second_run_may_come_before_its_size(driver, redis_url):
    celery = make("celery", redis_url, redis_url)
    for _ in range(3):
        assert settle(driver, part("g", "a", 0)) == []
        celery.backend.set_chord_size("g", 2)
        (ready,) = settle(driver, part("g", "b", 1))
        assert (ready.lost, ready.parts) == (False, [b"value of a", b"value of b"])
        assert driver.settler.dispatch_chord(chord_end("g")).held
    celery.close()


def test_a_late_part_of_a_chord_that_has_ended_makes_nothing_ready(driver, redis_url):
    celery = make("celery", redis_url, redis_url)
    celery.backend.set_chord_size("g", 1)
    assert len(settle(driver, part("g", "a", 0))) == 1
    assert driver.settler.dispatch_chord(chord_end("g")).held
    assert settle(driver, part("g", "a", 0)) == settle(driver, part("g", "a", 0)) == []
    assert driver.settler.stale_ready_chords(0) == []
    assert not redis.Redis.from_url(redis_url).exists("canvas:chords:ready:unsized")
    celery.close()
