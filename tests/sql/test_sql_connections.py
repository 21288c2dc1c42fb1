"""The pool of connections to a SQL database."""

import gc

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from canvas.drivers.sql.connections.pool import KeptConnections, in_transaction


@pytest.fixture
def no_collection():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_connections_that_cannot_be_made_do_not_count(tmp_path, no_collection):
    """An outage lasts longer than the garbage collector may rest: when it is over, the pool has room."""
    folder = tmp_path / "later"
    engine = create_engine(f"sqlite:///{folder}/own.db", poolclass=KeptConnections, pool_timeout=0.1)
    for _ in range(40):
        with pytest.raises(OperationalError, match="unable to open database file"):
            in_transaction(engine, lambda connection: None)
    folder.mkdir()
    assert in_transaction(engine, lambda connection: 7) == 7
    assert engine.pool.status() == "connections: 0 in use, 1 unused"
