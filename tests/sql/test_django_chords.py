"""Chords of a Django project, counted in django-celery-results' own table, as rows in it show."""

import json
import os
import subprocess
import sys

import pytest
from sqlalchemy import make_url, select, update

from canvas.drivers.ports.chords import Records
from canvas.drivers.record_columns import RecordColumns
from canvas.drivers.sql.chords import SqlChords
from canvas.drivers.sql.database import Database
from canvas.drivers.sql.dialects import unix_time
from canvas.drivers.sql.django.chords import DjangoCounting
from canvas.drivers.sql.django.counters import ChordCounters
from canvas.drivers.sql.django.tables import CHORD_COUNTERS, DjangoTables
from canvas.drivers.sql.results import SqlResults
from canvas.model.record import Record
from canvas.model.settlement import ChordExtension, ChordStart, Part, ResultWrite
from canvas.wire import record as wire
from tests.support.processes import ROOT


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    """A file of SQLite's with the tables that the project's migrations make."""
    path = tmp_path_factory.mktemp("django") / "results.sqlite3"
    about = {
        "APP_LIBRARY": "celery", "APP_BROKER": "memory://", "APP_BACKEND": "cache+memory://",
        "DJANGO_SETTINGS_MODULE": "tests.support.django_results", "RESULTS_DATABASE": str(path),
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.support.mixed_chords", "migrate"]
    subprocess.run(command, env={**os.environ, **about}, cwd=ROOT, check=True, timeout=60)
    return path


class Project:
    """The store; and what Celery's workers do, as statements."""

    def __init__(self, path):
        tables = DjangoTables(RecordColumns("json", extended=True), utc=True)
        self.counters = ChordCounters(CHORD_COUNTERS, tables, "json")
        self.results = SqlResults(Database(make_url(f"sqlite:///{path}"), tables, {}), tables)
        self.chords = SqlChords(self.results, DjangoCounting(self.results, self.counters))

    def celery_starts(self, group_id, *members):
        row = {"group_id": group_id, "sub_tasks": json.dumps([[[one, None], None] for one in members])}
        self._run(self.counters.table.insert().values(count=len(members), **row))

    def celery_stores(self, task_id, value=None, status="SUCCESS"):
        self.results.store([written(task_id, value, status)])

    def celery_counts(self, group_id):
        table = self.counters.table
        self._run(update(table).where(table.c.group_id == group_id).values(count=table.c.count - 1))

    def celery_ends(self, group_id):
        self.results.database.call(lambda connection: self.counters.delete(connection, [group_id]))

    def ends(self, group_id, task_id, value=None, position=None):
        """What becomes ready as a member ends on a canvas worker."""
        value = wire.encode_part(task_id, "SUCCESS", value)
        part = Part(group_id, task_id, position, value, b"callback", 60)
        return self.chords.record(Records(stores=[written(task_id, value)], parts=[part]))

    def left(self, group_id):
        query = select(self.counters.table.c.count).where(self.counters.table.c.group_id == group_id)
        return self.results.database.call(lambda connection: connection.execute(query).scalar())

    def a_minute_passes(self):
        self.idle_for(61)

    def idle_for(self, seconds):
        """All chords got their last part so long ago."""
        chords = self.results.tables.state.chords
        self.results.database.call(
            lambda connection: connection.execute(update(chords).values(ready_since=unix_time(connection) - seconds))
        )

    def _run(self, statement):
        self.results.database.call(lambda connection: connection.execute(statement))


def written(task_id, value=None, status="SUCCESS"):
    payload = wire.encode(Record(task_id, status, value))
    return ResultWrite(task_id, payload, 3600, status == "SUCCESS")


def values(ready):
    return [wire.decode_part(one, accept={"json"})[2] for one in ready.parts]


@pytest.fixture
def project(migrated):
    project = Project(migrated)
    yield project
    for ready in project.chords.stale_ready_chords(-1):
        project.chords.delete_chord(ready.group_id, False, 60)
    project.results.close()


def test_members_count_once_each_and_who_counts_the_last_ends_the_chord(project):
    project.celery_starts("g", "a", "b", "c")
    assert project.ends("g", "a", 1, 0) == project.ends("g", "a", 1, 0) == []
    assert project.left("g") == 2
    project.celery_stores("b", 2)
    project.celery_counts("g")
    (ready,) = project.ends("g", "c", 3, 2)
    assert (values(ready), ready.structure, ready.callback) == ([1, 2, 3], None, b"callback")
    assert project.left("g") is None
    assert project.ends("g", "c", 3, 2) == []
    assert [one.parts for one in project.chords.stale_ready_chords(-1)] == [ready.parts]
    project.chords.delete_chord("g", False, 60)
    assert project.chords.stale_ready_chords(-1) == []


def test_the_last_of_celerys_leaves_nothing_to_end(project):
    project.celery_starts("left", "left-a", "left-b")
    project.ends("left", "left-a")
    assert project.left("left") == 1
    project.celery_ends("left")
    project.a_minute_passes()
    assert project.ends("left", "left-a") == project.chords.stale_ready_chords(-1) == []


def test_a_member_that_celery_has_stored_is_not_counted_again(project):
    project.celery_starts("twice", "twice-a", "twice-b", "twice-c")
    project.celery_stores("twice-a", 1)
    project.celery_counts("twice")
    assert project.ends("twice", "twice-a", 1, 0) == []
    assert project.left("twice") == 2
    assert project.ends("twice", "twice-b", 2, 1) == []
    (ready,) = project.ends("twice", "twice-c", 3, 2)
    assert values(ready) == [1, 2, 3]


def test_members_that_celery_stores_and_does_not_count_are_found_after_a_minute(project):
    project.celery_starts("dead", "dead-a", "dead-b")
    project.ends("dead", "dead-a", 1, 0)
    project.celery_stores(
        "dead-b", {"exc_type": "ValueError", "exc_message": ["no"], "exc_module": "builtins"}, "FAILURE"
    )
    assert project.chords.stale_ready_chords(-1) == []
    project.a_minute_passes()
    (ready,) = project.chords.stale_ready_chords(-1)
    assert (ready.group_id, repr(values(ready)[1]), project.left("dead")) == ("dead", "ValueError('no')", None)


def test_a_chord_is_looked_at_sooner_the_fewer_of_its_members_are_left(project):
    """Each look reads the records of all that are left. A failing inner chord that Celery ends is not counted."""
    ends = {"one": 1, "ten": 10, "many": 30}
    for group_id, left in ends.items():
        members = [f"{group_id}-{number}" for number in range(left + 1)]
        project.celery_starts(group_id, *members)
        project.ends(group_id, members[0], 0, 0)
        for task_id in members[1:]:
            project.celery_stores(task_id, 1)

    def ready_after(seconds):
        project.idle_for(seconds)
        return {ready.group_id for ready in project.chords.stale_ready_chords(-1)}

    found = [ready_after(seconds) for seconds in (0, 10, 40, 61)]
    assert found == [set(), {"one"}, {"one", "ten"}, {"one", "ten", "many"}]


def test_a_counter_is_never_lower_than_the_members_that_have_not_ended(project):
    project.celery_starts("low", "low-a", "low-b", "low-c")
    project.celery_counts("low")
    project.celery_counts("low")
    assert project.ends("low", "low-a") == []
    assert project.left("low") == 2


def test_canvas_starts_chords_that_celery_counts(project):
    header = [[["own-a", None], None], [["own-g", None], [[["own-b", None], None]]]]
    starting = ChordStart("own", 2, 60, wire.encode_group([["own", None], header]))
    project.chords.start_chords([starting])
    project.ends("own", "own-a", 1, 0)
    project.chords.start_chords([starting])
    assert project.left("own") == 1
    for _ in range(2):
        project.chords.start_chords([], [ChordExtension("own", "by", "own-c")])
    assert project.left("own") == 2
    project.celery_stores("own-c", 3)
    project.celery_counts("own")
    (ready,) = project.ends("own", "own-b", 2, 1)
    assert values(ready) == [1, 2, 3]
    assert wire.decode_group(ready.structure, accept={"json"})[1][:2] == header
