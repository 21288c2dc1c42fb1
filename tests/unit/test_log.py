"""Task loggers name the task that writes."""

import logging

from canvas import Canvas
from canvas.log import WorkerFormatter, get_task_logger


def test_lines_of_tasks_name_their_task(caplog):
    app = Canvas("logs", broker="memory://")
    logger = get_task_logger("some.module")
    assert get_task_logger("some.module") is logger
    assert logger.parent.name == "canvas.task"

    @app.task(name="t.talks")
    def talks():
        logger.warning("inside")

    with caplog.at_level(logging.WARNING):
        result = talks.apply()
        logger.warning("outside")
        logging.getLogger("other").warning("elsewhere")
    form = WorkerFormatter("%(message)s", "%(task_name)s[%(task_id)s]: %(message)s")
    lines = [form.format(record) for record in caplog.records]
    assert lines == [f"t.talks[{result.id}]: inside", "???[???]: outside", "elsewhere"]


def test_celerys_names_of_errors():
    from celery import exceptions as theirs

    from canvas import exceptions as ours

    assert all(hasattr(theirs, name) for name in ours.__all__)
