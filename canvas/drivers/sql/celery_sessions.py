"""SQLAlchemy's sessions on the tables of results, for programs that query them as Celery's backend does."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Table
from sqlalchemy.exc import DatabaseError, InvalidRequestError
from sqlalchemy.orm import Session, registry
from sqlalchemy.orm.exc import StaleDataError

P = ParamSpec("P")
R = TypeVar("R")
_log = logging.getLogger("celery.backends.database")


class TaskRow:
    """A row of the table of results, with the columns as attributes."""

    __table__: Table

    def to_dict(self) -> dict[str, Any]:
        """The columns of Celery's record by their names, as they are stored."""
        names = (column.name for column in self.__table__.columns if column.name != "id")
        return {"children": None, **{name: getattr(self, name) for name in names}}

    def __repr__(self) -> str:
        return f"<Task {getattr(self, 'task_id', None)} state: {getattr(self, 'status', None)}>"


def task_class(table: Table) -> type[TaskRow]:
    """A class that SQLAlchemy maps to ``table``."""
    made = type("Task", (TaskRow,), {"__table__": table})
    registry().map_imperatively(made, table)
    return made


@contextmanager
def session_cleanup(session: Session) -> Iterator[None]:
    """Roll a session back when the block raises, and close it at its end."""
    try:
        yield
    except Exception:
        session.rollback()
        raise
    finally:
        session.close()


def retry(fun: Callable[P, R]) -> Callable[P, R]:
    """Call ``fun`` again when the database refuses it: three times, or as often as its argument ``max_retries``."""

    @wraps(fun)
    def call(*args: Any, **kwargs: Any) -> R:
        left = kwargs.pop("max_retries", 3)
        while True:
            left -= 1
            try:
                return fun(*args, **kwargs)
            except (DatabaseError, InvalidRequestError, StaleDataError):
                if left <= 0:
                    raise
                _log.warning("Failed operation %s. Retrying %s more times.", fun.__name__, left, exc_info=True)

    return call
