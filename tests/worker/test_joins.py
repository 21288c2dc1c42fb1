"""Every rule of a join over every pair of ends."""

import itertools

from canvas import Workflow
from canvas.testing.contract import eventually
from tests.worker.commands import named, served_app, states, task

app = served_app("-P", "threads", "-c", "4")
RULES = ["all_success", "all_done", "any_success", "any_done", "none_failed"]
ENDS = ["SUCCESS", "FAILURE", "SKIPPED", "REVOKED"]


def expected(rule, ends):
    """The state of a node of this rule that takes the results of two nodes that end so."""
    failed = any(end in ("FAILURE", "REVOKED") for end in ends)
    match rule:
        case "all_success" if not failed:
            return "SKIPPED" if "SKIPPED" in ends else "SUCCESS"
        case "none_failed" if not failed:
            return "SUCCESS"
        case "all_done" | "any_done":
            return "SUCCESS"
        case "any_success" if "SUCCESS" in ends or not failed:
            return "SUCCESS" if "SUCCESS" in ends else "SKIPPED"
    return "UPSTREAM_FAILED"


def test_each_rule_over_each_pair_of_ends(app, flow):
    """A skipped parent is the arm of a branch; of a cancelled one the run inside is cancelled."""
    source, inner = {}, Workflow("inner", app)
    inner.wait_for("never")
    for side in "ab":
        good = source[side, "SUCCESS"] = flow.add(task(app, "ident").s(1), name=f"good {side}")
        source[side, "FAILURE"] = flow.add(task(app, "fail").s(), name=f"bad {side}")
        arm = source[side, "SKIPPED"] = flow.add(task(app, "ident").s(2), name=f"arm {side}")
        flow.branch(good, {7: arm}, name=f"branch {side}")
        source[side, "REVOKED"] = flow.add(inner, name=f"cancelled {side}")
    wanted = {}
    for rule, *ends in itertools.product(RULES, ENDS, ENDS):
        name = f"{rule}: {ends[0]}, {ends[1]}"
        named(app, flow, name, *(source[side, end] for side, end in zip("ab", ends, strict=True)), when=rule)
        wanted[name] = expected(rule, ends)
    run = flow.apply_async()
    for side in "ab":
        assert eventually(lambda side=side: run.child(f"cancelled {side}")).cancel()
    run.result.get(timeout=30, propagate=False)
    found = states(run)
    assert {name: found[name] for name in wanted} == wanted
    assert (found["arm a"], found["bad b"], run.status().state) == ("SKIPPED", "FAILURE", "FAILURE")
