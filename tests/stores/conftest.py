"""Servers and folders for tests of result stores."""

import pytest

from tests.support.memcached import MemcachedServer


@pytest.fixture(scope="session")
def memcached():
    """A Memcached of this process, started by the first test that uses it."""
    with MemcachedServer() as server:
        yield server


@pytest.fixture
def memcached_url(memcached):
    """That server, without values."""
    memcached.flush()
    return memcached.url


@pytest.fixture
def file_url(tmp_path):
    return f"file://{tmp_path}"
