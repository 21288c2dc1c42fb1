"""Databases whose disk is full: a client gets the reason, and a worker keeps the ends of its tasks until there is room."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from canvas import Canvas
from canvas.errors import OperationalError
from canvas.testing.contract import eventually
from canvas.testing.worker import start_worker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.getuid() != 0, reason="root alone mounts a small file system"),
]


@pytest.fixture
def disk():
    """A folder on a file system of 24 MB, which PostgreSQL's user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="canvas-test-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)
    folder.rmdir()


@pytest.fixture
def sqlite(disk):
    return f"db+sqlite:///{disk}/results.db"


@pytest.fixture
def postgresql(disk, postgres):
    """A database whose tables are on that file system."""
    place, url = disk / "tables", postgres.new_database()
    place.mkdir()
    shutil.chown(place, "postgres", "postgres")
    name = url.partition("@/")[2].partition("?")[0]
    engine = create_engine(postgres.url()[3:], isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE TABLESPACE {name}_small LOCATION '{place}'"))
        connection.execute(text(f"ALTER DATABASE {name} SET default_tablespace = {name}_small"))
    yield url
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        connection.execute(text(f"DROP TABLESPACE {name}_small"))
    engine.dispose()


def fill(folder):
    """Take all the room; the file that has it."""
    path = folder / "rest"
    with path.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    return path


@pytest.mark.parametrize(
    ("kind", "said"), [("sqlite", "database or disk is full"), ("postgresql", "No space left on device")]
)
def test_tasks_end_when_there_is_room(request, disk, kind, said):
    url = request.getfixturevalue(kind)
    with Canvas("own", broker=f"memory://{kind}", backend=url) as app:
        many = app.task(name="many")(lambda count: "x" * count)
        with start_worker(app, perform_ping_check=False, shutdown_timeout=60):
            assert many.delay(1).get(timeout=20) == "x"
            rest = fill(disk)
            with pytest.raises(OperationalError, match=said):
                app.backend.store_result("a", "y" * 300_000, "SUCCESS")
            sent = [many.delay(200_000) for _ in range(3)]
            eventually(lambda: app.driver.admin.queue_length("celery") < 3, 30)
            assert [one.state for one in sent] == ["PENDING"] * 3
            rest.unlink()
            assert [len(one.get(timeout=60)) for one in sent] == [200_000] * 3
