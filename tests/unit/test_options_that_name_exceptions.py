"""``throws``, ``autoretry_for`` and ``dont_autoretry_for``: one class, a union, or collections of them at any depth."""

import pytest

from canvas import Canvas
from canvas.execution.executor import execute
from canvas.model.request import Request

NAMING = {
    "class": LookupError,
    "tuple": (LookupError, OSError),
    "list": [LookupError],
    "set": {LookupError},
    "union": LookupError | OSError,
    "nested": ((OSError, LookupError), TypeError),
    "deep": [[(LookupError,)]],
}
OTHERS = {"none": None, "empty": (), "other": OSError, "others": ((OSError,), TypeError)}
CASES = [*((given, True) for given in NAMING.values()), *((given, False) for given in OTHERS.values())]
IDS = [*NAMING, *OTHERS]


@pytest.fixture
def app():
    return Canvas("naming", broker="memory://naming", backend="memory://naming", set_as_current=False)


def fail():
    raise KeyError("missing")


@pytest.mark.parametrize(("given", "names"), CASES, ids=IDS)
def test_throws(app, given, names):
    task = app.task(name="fail", throws=given)(fail)
    outcome = execute(task, Request(id="1", task="fail"), (), {})
    assert (repr(outcome.exc), outcome.expected) == ("KeyError('missing')", names)


@pytest.mark.parametrize(("given", "names"), CASES, ids=IDS)
@pytest.mark.parametrize("option", ["autoretry_for", "dont_autoretry_for"])
def test_automatic_retries(app, option, given, names):
    runs = []
    options = {"autoretry_for": Exception, option: given, "retry_kwargs": {"max_retries": 1, "countdown": 0}}

    @app.task(name="fail", **options)
    def failing():
        runs.append(1)
        fail()

    again = names if option == "autoretry_for" else not names
    result = failing.apply()
    assert (result.state, repr(result.result), len(runs)) == ("FAILURE", "KeyError('missing')", 1 + again)
    with pytest.raises(KeyError):
        failing()
