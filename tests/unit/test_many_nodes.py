"""A workflow of many nodes costs as much for each as one of few."""

import pytest

from canvas import Workflow


class Counted(dict):
    """A dict that counts how often a key is looked for."""

    looks = 0

    def __contains__(self, key):
        type(self).looks += 1
        return super().__contains__(key)


@pytest.fixture
def task(app):
    return app.task(name="t.node")(lambda x: x)


def test_names_of_nodes_of_one_task_are_found_with_few_looks(app, task):
    flow = Workflow("many", app)
    flow._numbers = Counted()
    for number in range(500):
        flow.add(task.s(number))
    assert [entry.name for entry in flow.entries[:3]] == ["node", "node-2", "node-3"]
    assert flow.entries[-1].name == "node-500"
    assert Counted.looks <= 4 * 500


def test_a_name_that_was_given_is_passed_over(app, task):
    flow = Workflow("some", app)
    names = ["node-2", None, None, "node-4", None, None]
    for name in names:
        flow.add(task.s(1), name=name)
    assert [entry.name for entry in flow.entries] == ["node-2", "node", "node-3", "node-4", "node-5", "node-6"]
