"""Answers of Redis that are lost: a call that is made again has had its effect before."""

import pytest

from canvas import Canvas, Workflow
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


@pytest.mark.parametrize(("name", "kept", "ready"), [("answer", {}, 1), ("later", {"later": [1]}, 0)])
def test_a_signal_is_taken_once(redis_server, redis_url, result_url, name, kept, ready):
    """A signal is offered to a node first; where none waits, it is posted after that."""
    lost = []

    def lose(request):
        return cut if request.name == "publish_with_chords" and losing and not lost else None

    def cut(answer):
        lost.append(answer)
        raise ConnectionAbortedError

    losing = False
    with Proxy(redis_server.port, lose) as proxy:
        number = [url.rpartition("/")[2] for url in (redis_url, result_url)]
        with Canvas("losing", broker=proxy.url(number[0]), backend=proxy.url(number[1]), set_as_current=False) as app:
            flow = Workflow("waits", app)
            flow.wait_for("later", after=flow.wait_for("answer"))
            run = flow.apply_async()
            losing = True
            run.signal(name, 1, key="only")
            run.signal(name, 1, key="only")
            assert len(lost) == 1
            assert run.signals() == kept
            assert len(app.driver.settler.stale_ready_chords(0)) == ready
