"""Random workflows of every kind of node, run in this process and compared with a plain evaluation."""

from hypothesis import given, settings

from tests.support.drawn_workflows import app_with_tasks, composed, signals_of, workflows
from tests.support.plain_evaluation import assert_as_evaluated, assert_in_order, is_undone, undone_of


@settings(max_examples=40)
@given(workflows())
def test_a_run_ends_as_a_plain_evaluation(drawn):
    app = app_with_tasks()
    run = composed(app, drawn).apply(signals=[("go", 100)] * signals_of(drawn))
    assert_as_evaluated(run, drawn)
    undone = undone_of(app, run)
    assert is_undone(run, drawn, undone), (undone, drawn, run.status())
    assert_in_order(drawn, undone)
