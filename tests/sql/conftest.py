"""Databases for tests: each test gets the URL of an empty one."""

import pytest
from sqlalchemy import MetaData, create_engine

from tests.support.message_state import opened


@pytest.fixture(scope="module")
def database_url(postgres):
    """A database of the module's own."""
    return postgres.new_database()


@pytest.fixture
def postgres_url(database_url):
    """That database, without tables."""
    yield database_url
    engine = create_engine(database_url[3:])
    with engine.begin() as connection:
        tables = MetaData()
        tables.reflect(connection)
        tables.drop_all(connection)
    engine.dispose()


@pytest.fixture
def sqlite_url(tmp_path):
    return f"db+sqlite:///{tmp_path}/results.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request):
    """A database of each kind."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def state(request):
    """The parts of a state server of each kind."""
    kinds = {"sqlite": "sqlite_url", "postgresql": "postgres_url", "redis": "redis_url"}
    parts = opened(request.getfixturevalue(kinds[request.param]))
    yield parts
    parts.close()
