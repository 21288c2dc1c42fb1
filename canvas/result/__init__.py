"""What a sender holds of a task to come: AsyncResult, GroupResult, ResultSet, EagerResult (SEMANTICS.md §4)."""

from canvas.result.group import GroupResult, ResultSet
from canvas.result.guard import allow_join_result, check_join_allowed, denied_join_result, give_place_away
from canvas.result.of_app import class_of_app
from canvas.result.single import AsyncResult, EagerResult, result_from_tuple

__all__ = [
    "AsyncResult",
    "EagerResult",
    "GroupResult",
    "ResultSet",
    "allow_join_result",
    "check_join_allowed",
    "class_of_app",
    "denied_join_result",
    "give_place_away",
    "result_from_tuple",
]
