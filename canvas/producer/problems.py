"""Problems that keep a follow-up of a task from being sent."""

from collections.abc import Callable


def problem_of(send: Callable[[], object]) -> BaseException | None:
    """The exception that ``send`` raised, ``None`` if it raised nothing.

    Routers and the values of a call run code of the project, which may raise anything and may call ``sys.exit()``.
    Raises RecursionError: the caller of the settlement makes it again with a deeper stack.
    """
    try:
        send()
    except RecursionError:
        raise
    except (Exception, SystemExit) as exc:  # noqa: BLE001 - it is reported or settled by the caller
        return exc
    return None
