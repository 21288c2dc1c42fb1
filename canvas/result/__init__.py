"""The handles of results: AsyncResult, GroupResult, ResultSet, EagerResult (semantics.md §4)."""

from canvas.result.bases import ResultBase, class_of_app
from canvas.result.eager_result import EagerResult
from canvas.result.handles import AsyncResult, GroupResult, result_from_tuple
from canvas.result.result_set import ResultSet
from canvas.result.wait_rules import (
    allow_join_result,
    check_join_allowed,
    denied_join_result,
    let_coroutines_await,
    set_task_join_will_block,
    task_join_will_block,
)

__all__ = [
    "AsyncResult",
    "EagerResult",
    "GroupResult",
    "ResultBase",
    "ResultSet",
    "allow_join_result",
    "check_join_allowed",
    "class_of_app",
    "denied_join_result",
    "let_coroutines_await",
    "result_from_tuple",
    "set_task_join_will_block",
    "task_join_will_block",
]
