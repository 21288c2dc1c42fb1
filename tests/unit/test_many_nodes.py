"""A workflow of many nodes costs as much for each as one of few."""

import pytest

from canvas import Workflow
from canvas.drivers.ports.values import Lease
from canvas.signals import before_task_publish
from canvas.workflows.run import Run
from canvas.workflows.start import StartOptions, prepared
from canvas.workflows.steps.attempt import FIRST


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


def test_the_first_nodes_are_sent_before_the_messages_of_all_are_made(app, task):
    flow = Workflow("wide", app)
    for number in range(2 * FIRST + 1):
        flow.add(task.s(number))
    about, nodes = prepared(flow, app, StartOptions())
    first = Run(app, "run", about, 0, nodes).first_settlement()
    assert len(first.publishes) == FIRST
    flow.apply_async()
    assert len(app.driver.broker.lease(Lease("w", ("celery",), 1_000))) == 2 * FIRST + 1


def test_a_name_that_was_given_is_passed_over(app, task):
    flow = Workflow("some", app)
    names = ["node-2", None, None, "node-4", None, None]
    for name in names:
        flow.add(task.s(1), name=name)
    assert [entry.name for entry in flow.entries] == ["node-2", "node", "node-3", "node-4", "node-5", "node-6"]


def of_one_that_cannot_be_sent(app, task, kind, listen):
    """The states of three nodes, or of the three items of a map, the second of which no queue takes; the messages that
    were looked at while they were built."""

    def route(name, args, *others, **options):
        if args and args[0] == "no":
            raise LookupError("no queue takes it")
        return None

    app.conf.task_routes = (route,)
    flow, values, seen = Workflow("some", app), ["a", "no", "b"], []
    if kind == "map":
        flow.map(task.s(), flow.add(task.s(values), name="items"), name="each", on_failure="continue", default="-")
    else:
        for value in values:
            flow.add(task.s(value), name=f"node {value}", on_failure="continue", default="-")
    if listen:
        receiver = before_task_publish.connect(lambda sender, body, **_: seen.append(body[0]), weak=False)
    try:
        run = flow.apply()
    finally:
        if listen:
            before_task_publish.disconnect(receiver)
    return run.get(), [args[0] for args in seen if args[0] in values]


@pytest.mark.parametrize("listen", [False, True])
@pytest.mark.parametrize("kind", ["nodes", "map"])
def test_a_node_that_cannot_be_sent_with_others_fails_alone(app, task, kind, listen):
    found, seen = of_one_that_cannot_be_sent(app, task, kind, listen)
    assert (list(found.values()) if isinstance(found, dict) else found) == ["a", "-", "b"]
    # The router, which raises, is asked after the message is made and before it is shown.
    assert seen == (["a", "b"] if listen else [])
