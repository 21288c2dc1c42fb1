"""Memcached and files that are away, full, or hold something else; ids and values that cannot be kept."""

import errno
import os

import pytest

from canvas import Canvas, chord
from canvas.drivers import open_driver
from canvas.drivers.ports.chords import Records
from canvas.errors import BrokerError, ChordError, ConfigurationError, DecodeError, OperationalError, RefusedError
from canvas.model.settlement import ResultWrite
from canvas.testing.contract import eventually, part
from canvas.testing.worker import start_worker
from tests.support.interrupted import interrupt
from tests.support.memcached import MemcachedServer
from tests.support.redis_server import free_port


def results_of(url, **options):
    return open_driver("memory://", url, result_options=options).results


def test_a_memcached_that_goes_away_and_comes_back():
    with MemcachedServer() as server, Canvas("own", broker="memory://away", backend=server.url) as app:
        double = app.task(name="double")(lambda n: 2 * n)
        with start_worker(app, perform_ping_check=False):
            assert double.delay(1).get(timeout=20) == 2
            server.stop()
            with pytest.raises(OperationalError, match=f"Memcached 127.0.0.1:{server.port}: .*refused"):
                app.AsyncResult("any").get(timeout=20)
            sent = double.delay(2)
            server.start()
            assert sent.get(timeout=20) == 4


def test_a_memcached_that_was_never_there():
    url = f"cache+memcached://127.0.0.1:{free_port()}/"
    with pytest.raises(OperationalError, match=r"Memcached 127\.0\.0\.1:.*refused"):
        results_of(url).get(["a"], retry=False)


def test_what_memcached_does_not_take_is_refused(memcached_url):
    results = results_of(memcached_url)
    for task_id in ("with space", "x" * 300, "\N{SNOWMAN}"):
        assert results.get([task_id]) == [None]
        with pytest.raises(RefusedError, match="Memcached 127"):
            results.store([ResultWrite(task_id, b"{}", 60, False)])
    with pytest.raises(RefusedError, match=r"a value of 2000000 bytes is larger than its items may be: start memc"):
        results.store([ResultWrite("large", b"x" * 2_000_000, 60, False)])


def test_a_signal_may_interrupt_a_call(memcached_url):
    assert interrupt("records", memcached_url) == 0


def test_an_end_that_is_too_large_is_a_failure_whatever_the_end_is(memcached_url):
    """A value, an error, a retry, arguments that are stored with the result; alone, in a chain, and in a chord."""
    called = []
    with Canvas("own", broker="memory://large", backend=memcached_url, result_extended=True) as app:
        app.task(name="note")(lambda request, exc, traceback: called.append(request.id))

        @app.task(name="ends", bind=True, max_retries=1)
        def ends(self, how, _=None):
            large = "x" * 2_000_000
            if how == "retry":
                raise self.retry(exc=ValueError(large), countdown=0)
            if how == "error":
                raise ValueError(large)
            return large if how == "value" else how

        calls = [ends.s(how) for how in ("value", "error", "retry")]
        calls += [ends.s("argument", "y" * 2_000_000), ends.s("error") | ends.s(), chord([ends.s("error")], ends.s())]
        with start_worker(app, perform_ping_check=False):
            sent = [call.apply_async(link_error=app.signature("note")) for call in calls]
            for result in sent:
                with pytest.raises((BrokerError, ChordError), match="larger than its items may be"):
                    result.get(timeout=20)
                eventually(lambda ended=result: ended.state == "FAILURE")
            assert sorted(called) == sorted({*called, sent[0].id, sent[1].id, sent[3].id})
            eventually(lambda: len(app.driver.admin.dead_letters("celery")) == len(calls))


def test_long_lives_are_absolute_times(memcached_url):
    results = results_of(memcached_url)
    results.store([ResultWrite("a", b"{}", 90 * 86_400, False)])
    assert results.get(["a"]) == [b"{}"]


@pytest.mark.parametrize("kept", [b"\x00 no record", b"[]", b'{"result": 1}'])
def test_a_value_that_is_no_record(memcached, memcached_url, tmp_path, kept):
    for url in (memcached_url, f"file://{tmp_path}"):
        app = Canvas("own", broker="memory://", backend=url, set_as_current=False)
        app.driver.results.store([ResultWrite("a", kept, 60, False)])
        with pytest.raises(DecodeError):
            _ = app.AsyncResult("a").state
        app.close()


def test_a_folder_that_is_not_there(tmp_path):
    results = results_of(f"file://{tmp_path}/none")
    with pytest.raises(OperationalError, match="none: No such file or directory: the folder must exist"):
        results.get(["a"], retry=False)
    os.mkdir(tmp_path / "none")
    assert results.get(["a"]) == [None]


def test_ids_that_are_no_names_of_files(tmp_path):
    results = results_of(f"file://{tmp_path}/x")
    os.mkdir(tmp_path / "x")
    for task_id in ("../../outside", "a\0b", "x" * 300):
        assert results.get([task_id]) == [None]
        with pytest.raises(RefusedError, match="cannot be the name of a file"):
            results.store([ResultWrite(task_id, b"{}", 60, False)])
    assert os.listdir(tmp_path) == ["x"]


def test_a_full_disk(tmp_path, monkeypatch):
    results = results_of(f"file://{tmp_path}")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OperationalError, match=r"No space left on device: the folder must .* have space left"):
            results.store([ResultWrite("a", b"{}", 60, False)])
    assert [name for name in os.listdir(tmp_path) if name != ".canvas-lock"] == []


def test_old_files_are_cleaned_up(tmp_path):
    results = results_of(f"file://{tmp_path}", expires=lambda: 3600)
    for task_id, seconds in (("usual", 3600), ("short", 60), ("long", 7200), ("always", None)):
        results.store([ResultWrite(task_id, b"{}", seconds, False)])
    for entry in os.scandir(tmp_path):
        os.utime(entry, (0, entry.stat().st_mtime - 1800))
    assert results.get(["usual", "short", "long", "always"]) == [b"{}", None, b"{}", b"{}"]
    assert results.cleanup(3600) == 1
    assert len([name for name in os.listdir(tmp_path) if name.startswith("celery-task-meta-")]) == 3


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("cache+none://x", "no cache 'none'; expected cache\\+memcached://host:port/"),
        ("cache", "or cache_backend set to one of these"),
        ("cache+memcached://", "needs a server: cache\\+memcached://localhost:11211/"),
        ("file://relative", "needs an absolute path: file:///var"),
    ],
)
def test_urls_that_are_wrong(url, expected):
    with pytest.raises(ConfigurationError, match=expected):
        open_driver("memory://", url)


def test_celerys_other_ways_to_name_a_cache(memcached_url):
    address = memcached_url.removeprefix("cache+")
    assert results_of("cache", cache_backend=address).get(["a"]) == [None]
    assert open_driver("memory://", "cache+memory://").capabilities >= {"runs", "parts"}


def test_a_part_whose_number_a_dead_worker_took_is_counted_again(memcached, memcached_url):
    """The counter is ahead of the parts."""
    driver = open_driver("memory://", memcached_url)
    parts = [part("g", name, at)._replace(size=3) for at, name in enumerate("abc")]
    assert driver.chords.record(Records(parts=parts[:1])) == []
    driver.chords._values.count("chord-unlock-g", 1)
    assert driver.chords.record(Records(parts=parts[1:2])) == []
    (ready,) = driver.chords.record(Records(parts=parts[2:]))
    assert ready.parts == [b"value of a", b"value of b", b"value of c"]
    driver.close()
