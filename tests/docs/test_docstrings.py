"""Examples in docstrings run, and the parameters of what users call are described."""

import doctest
import inspect
import re

import pytest

import canvas
from canvas.app import application
from canvas.workflows.compose import builder
from canvas.workflows.compose.builder import Workflow
from canvas.workflows.run import Run

CALLS = [
    canvas.Canvas, canvas.Task.apply_async, canvas.Task.retry, canvas.AsyncResult.get, Workflow.add, Workflow.map,
    Workflow.branch, Workflow.order, Run.cancel, Run.signal,
]  # fmt: skip


@pytest.mark.parametrize("module", [application, builder], ids=lambda module: module.__name__)
def test_examples_run(module):
    found = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert found.attempted > 2
    assert found.failed == 0


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__qualname__)
def test_each_parameter_is_described(call):
    words = set(re.findall(r"\w+", call.__doc__))
    names = [name for name in inspect.signature(call).parameters if name not in ("self", "kwargs")]
    assert [name for name in names if name not in words] == []
