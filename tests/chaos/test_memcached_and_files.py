"""Nothing lost and nothing twice with results in Memcached or in files, whatever is killed when."""

import pytest

from tests.chaos.conftest import Apart
from tests.chaos.storm import POOLS, Storm
from tests.chaos.test_kills import KILLS
from tests.chaos.test_rabbitmq_and_sql import Instant, another_takes_over
from tests.chaos.verdict import CALM, values_of
from tests.chaos.workload import assert_nothing_is_left, assert_ran_once, workload
from tests.support.memcached import MemcachedServer
from tests.support.redis_server import RedisServer
from tests.support.seeds import seeds

pytestmark = pytest.mark.slow
_STEPS = "canvas.drivers.two_step:TwoStepSettler"
_CHORDS = "canvas.drivers.keyvalue.chords:MemcachedChords"
_VALUES = "canvas.drivers.keyvalue.memcached:Memcached"
_LISTED = "canvas.drivers.keyvalue.ready_chords:ReadyChords"
_BOTH = [
    Instant("before records", f"{_STEPS}._record", "before", 3),
    Instant("records stored, messages not sent", f"{_STEPS}._record", "after", 4),
    Instant("settled, before the next", f"{_STEPS}.settle", "after", 5),
]
INSTANTS = {
    "memcached": [
        *_BOTH,
        Instant("before a part has a number", f"{_CHORDS}._number", "before", 3),
        Instant("a part has a number and no value", f"{_VALUES}.set_all", "before", 3),
        Instant("a part is counted", f"{_CHORDS}._number", "after", 4),
        Instant("a chord is complete, not listed", f"{_LISTED}.add", "before"),
        Instant("a chord is listed as ready", f"{_LISTED}.add", "after"),
        Instant("before a chord's body", f"{_STEPS}.dispatch_chord", "before"),
        Instant("the body sent, its chord not deleted", f"{_CHORDS}.delete_chord", "before"),
        Instant("a chord is not listed, its parts are there", f"{_LISTED}.end", "after"),
    ],
    "files": [
        *_BOTH,
        Instant("before a file is written", "canvas.drivers.keyvalue.files:Files._write", "before", 4),
        Instant("a file is written", "canvas.drivers.keyvalue.files:Files._write", "after", 5),
    ],
}
CASES = [
    pytest.param(store, instant, pool, id=f"{store}-{instant.name}-{pool[1]}")
    for store, instants in INSTANTS.items()
    for instant in instants
    for pool in POOLS[1:3]
]
WEATHER = {"kills": KILLS, "stalls": ("stall", "kill"), "connections": ("cut", "cut", "forget_scripts")}


class ElsewhereBench(Apart):
    """A bench whose results are at another URL."""

    def __init__(self, server, ledger, url):
        super().__init__(server, ledger)
        self._url = url

    def urls(self):
        broker, _, ledger = super().urls()
        return broker, self._url, ledger


@pytest.fixture
def bench(request, tmp_path, store):
    with RedisServer() as server, RedisServer() as ledger, MemcachedServer() as memcached:
        yield ElsewhereBench(server, ledger, memcached.url if store == "memcached" else f"file://{tmp_path}")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("store", "instant", "pool"), CASES)
def test_a_worker_dies_and_another_takes_over(bench, app, instant, pool):
    another_takes_over(bench, app, instant, pool)
    assert_nothing_is_left(bench)


@pytest.mark.random
@pytest.mark.timeout(400 + CALM)
@pytest.mark.parametrize("seed", seeds(1, 2))
@pytest.mark.parametrize("how", WEATHER)
@pytest.mark.parametrize("store", INSTANTS)
def test_every_workflow_ends_with_its_value(bench, app, how, seed):
    key, rounds = bench.new_key(), 12
    with Storm(bench, seed, WEATHER[how], 0.1 if how == "connections" else 0.3) as storm:
        sent = workload(app, key, rounds)
        values = values_of(sent, bench, key, storm, 200)
    assert values == [value for _, value in sent]
    assert storm.blows > 0
    assert_ran_once(bench, key, rounds, storm.killed)
    assert_nothing_is_left(bench)
