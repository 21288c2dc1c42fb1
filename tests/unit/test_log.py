"""Task loggers name the task that writes."""

import logging

import pytest

from canvas import Canvas
from canvas.log import ColorFormatter, TaskFormatter, get_task_logger
from canvas.worker.logs import lines
from canvas.worker.logs.other_workers import beside_celery
from canvas.worker.logs.redirect import Redirected
from canvas.worker.names import file_name, node_name


def test_lines_of_tasks_name_their_task(caplog):
    app = Canvas("logs", broker="memory://")
    logger = get_task_logger("some.module")
    assert get_task_logger("some.module") is logger
    assert logger.parent.name == "celery.task"

    @app.task(name="t.talks")
    def talks():
        logger.warning("inside")

    with caplog.at_level(logging.WARNING):
        result = talks.apply()
        logger.warning("outside")
        logging.getLogger("other").warning("elsewhere")
    form = TaskFormatter("%(task_name)s[%(task_id)s]: %(message)s", use_color=False)
    lines = [form.format(record) for record in caplog.records]
    assert lines == [f"t.talks[{result.id}]: inside", "???[???]: outside", "???[???]: elsewhere"]


def test_celerys_names_of_errors():
    from celery import exceptions as theirs

    from canvas import exceptions as ours

    assert all(hasattr(theirs, name) for name in ours.__all__)


@pytest.mark.parametrize("name", ["canvas.task", "canvas", "celery.task", "celery", "", None])
def test_names_of_the_loggers_above_those_of_tasks(name):
    with pytest.raises(RuntimeError, match="reserved"):
        get_task_logger(name)
    assert not logging.getLogger("canvas.task").isEnabledFor(1)


def test_loggers_of_tasks_have_celerys_place():
    from celery.utils.log import get_task_logger as theirs

    logging.getLogger("place")
    for above in ("place", "celery.worker", "celery.task"):
        ours, other = get_task_logger(f"{above}.ours"), theirs(f"{above}.theirs")
        assert ours.parent.name == other.parent.name == "celery.task"


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
def test_levels_have_celerys_colours(level):
    from celery.utils.log import ColorFormatter as Theirs

    record = logging.makeLogRecord({"msg": "text", "levelname": level, "levelno": logging.getLevelName(level)})
    for colours in (True, False):
        assert ColorFormatter("%(message)s", use_color=colours).format(record) == Theirs(
            "%(message)s", use_color=colours
        ).format(record)


@pytest.mark.parametrize("template", [None, "w1", "w1@%h", "@x", "w1@", "%n@%d", "w%%1@%h", "%h", "a@b@c", "w%i%I@%h"])
def test_nodes_have_celerys_names(template):
    from celery.utils.nodenames import default_nodename, host_format

    assert node_name(template) == host_format(default_nodename(template))


@pytest.mark.parametrize("pattern", ["%n.log", "%n%I.log", "%h-%d-%i-%p.log", "100%%.log"])
def test_files_have_celerys_names(pattern):
    from celery.utils.nodenames import node_format

    assert file_name(pattern, "w1@a.b.c") == node_format(pattern, "w1@a.b.c")
    assert file_name("%n%I.%i", "w1@a", child=3) == "w1-3.3"


def test_a_stream_whose_lines_are_logged(caplog):
    stream = Redirected(logging.ERROR)
    with caplog.at_level(logging.ERROR):
        print("one", 2, file=stream)
        print("begun", end="", file=stream)
        assert [record.getMessage() for record in caplog.records] == ["one 2"]
        stream.flush()
        stream.close()
        print("\nafter\n\nclose", file=stream)
    assert [record.getMessage() for record in caplog.records] == ["one 2", "begun", "after", "close"]
    assert {(record.name, record.levelno) for record in caplog.records} == {("celery.redirected", logging.ERROR)}
    with pytest.raises(OSError, match="fileno"):
        stream.fileno()


def test_the_line_of_a_worker_that_is_ready_has_celerys_logger(caplog):
    caplog.set_level(logging.INFO, "celery.apps.worker")
    lines._ready("celery@here")
    assert [(one.name, one.getMessage()) for one in caplog.records] == [("celery.apps.worker", "celery@here ready.")]


@pytest.mark.parametrize(("runs", "level"), [(0, logging.INFO), (3, logging.WARNING)])
def test_one_line_names_all_celery_workers_and_warns_where_runs_are_kept(runs, level, caplog):
    caplog.set_level(logging.INFO, "celery.worker")
    beside_celery({f"celery@{number:02}": ["celery", f"q{number % 2}"] for number in range(30)}, runs)
    (record,) = caplog.records
    assert record.levelno == level
    named = ", ".join(f"celery@{number:02}" for number in range(10))
    assert record.getMessage().startswith(f"The Celery workers {named} and 20 more consume celery, q0, q1 too: runs")
