"""Answers of Redis that are lost: a call that is made again has had its effect before."""

import pytest

from canvas.drivers import open_driver
from canvas.drivers.ports.chords import Records
from canvas.model.settlement import ChordExtension, ChordStart
from canvas.testing.contract import part
from tests.support.proxy import Proxy


@pytest.fixture
def losing(redis_server, redis_url):
    """Opens a driver, with its results on another server, that loses the first answer to a script of this name."""
    opened = []

    def driver(script):
        def lose(request):
            if request.name != script or lost:
                return None

            def cut(answer):
                if not answer.startswith(b"-"):
                    lost.append(answer)
                    raise ConnectionAbortedError

            return cut

        lost = []
        proxy = Proxy(redis_server.port, lose).__enter__()
        opened.extend((proxy, driver := open_driver("memory://lost-answers", proxy.url(1))))
        return driver, lost

    yield driver
    for one in opened:
        one.close() if hasattr(one, "close") else one.__exit__()


def test_a_chord_is_extended_once(losing):
    driver, lost = losing("store_results")
    driver.chords.start_chords([ChordStart("g", 1, 60)], [ChordExtension("g", "task:0:0")])
    assert len(lost) == 1
    ready = [driver.chords.record(Records(parts=[part("g", name, None)])) for name in ("a", "b", "c")]
    assert list(map(len, ready)) == [0, 1, 0]
