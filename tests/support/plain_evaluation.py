"""What the runs of drawn workflows come to, by a plain evaluation."""

from canvas.errors import CanvasError
from canvas.workflows.status import ENDED
from tests.support.drawn_workflows import MOST, number_of

ANY = "any value"
FAILED = "failed"


def expected(drawn):
    """For each node its value, ``ANY`` or ``FAILED``; ``None`` for one that may be cancelled before it has ended."""
    ends = []
    for node in drawn:
        ends.append(end_of(node, [ends[parent] for parent in node.parents]))
    return ends


def end_of(node, parents):
    failed = [one is FAILED for one in parents]
    if node.kind == "first":
        good = [one for one in parents if one is not FAILED]
        return FAILED if not good else good[0] if len(good) == 1 else ANY
    runs = {
        "all_success": not any(failed), "none_failed": not any(failed), "all_done": True, "any_done": True,
        "any_success": not parents or not all(failed),
    }[node.rule]  # fmt: skip
    if not runs:
        return FAILED
    match node.kind:
        case "add":
            early = node.rule in ("any_success", "any_done") and len(parents) > 1
            known = not early and ANY not in parents
            return sum(number_of(one) for one in parents if one is not FAILED) + node.number if known else ANY
        case "fail" | "exhausted" | "slow inside":
            return FAILED
        case "sleep":
            return None
        case "wait":
            return ANY
        case "wait out":
            return 7 if node.number else FAILED
        case "loop" | "inner loop":
            return 6
        case "kept":
            return 5
        case "branch":
            return {0: 11, 1: 21}.get(node.number, 31)
        case "map" | "batch" | "inner map":
            return [node.number + 2, node.number + 3] if node.number + 2 <= MOST else FAILED
        case "grown":
            return node.number + 2
        case "line":
            return [node.number + 2, node.number + 3] if node.number + 2 <= MOST else FAILED
        case "pages" | "yielded":
            return 2 * node.number if 2 * node.number - 1 <= MOST else FAILED
    return node.number + 1


def may_be_cancelled(drawn):
    """Nodes that a race may cancel: all ways from them lead to it."""
    found = set()
    for at, node in enumerate(drawn):
        if node.kind == "first":
            inside = {at}
            for before in range(at - 1, -1, -1):
                after = {number for number, one in enumerate(drawn) if before in one.parents}
                if after and after <= inside:
                    inside.add(before)
            found |= inside - {at}
    return found


def waits_for_all(node):
    return node.kind != "first" and node.rule not in ("any_success", "any_done")


def not_awaited(drawn):
    """Nodes for which the end of the run does not wait: those after them may have started without them. Where they end
    after a run that has failed, they are not undone."""
    awaited = set()
    for at in reversed(range(len(drawn))):
        after = [number for number, node in enumerate(drawn) if at in node.parents]
        if not after or any(number in awaited and waits_for_all(drawn[number]) for number in after):
            awaited.add(at)
    return set(range(len(drawn))) - awaited


def number_in(name):
    return int(name[1:].split()[0])


def to_undo(drawn, unsure, states, failed):
    """The names that are undone, once for each item: of a run that has failed, all that has succeeded."""
    found = []
    for at, node in enumerate(drawn):
        name = f"n{at}"
        if at in unsure:
            continue
        state = states[name]
        if node.kind in ("pages", "yielded") and state in ("SUCCESS", "FAILURE"):
            # The run of a page that fails undoes its own items, whatever the run around it does.
            pages = [[2 * page, 2 * page + 1] for page in range(node.number)]
            ends = [max(items) > MOST for items in pages]
            found += [name for items, ends_badly in zip(pages, ends, strict=True) for item in items
                      if item <= MOST and (failed or ends_badly)]  # fmt: skip
        elif failed and node.kind == "line" and states[f"{name} before"] == "SUCCESS":
            found += [f"{name} before"] * 2
            found += [name for item in (node.number + 1, node.number + 2) if item <= MOST]
        elif failed and node.kind in ("map", "inner map", "batch") and states[f"{name} items"] == "SUCCESS":
            whole = node.kind == "batch" and node.number + 2 > MOST
            found += [name for item in (node.number + 1, node.number + 2) if item <= MOST and not whole]
        elif failed and node.kind in ("add", "inside", "grown", "inner loop") and state == "SUCCESS":
            found += [name] * (6 - node.number if node.kind == "inner loop" else 1)
    return sorted(found)


def undone_of(app, run):
    """What has been undone for a run, in this order."""
    return [name for task_id, name in app.undone if task_id.startswith(run.id)]


def assert_as_evaluated(run, drawn):
    """A run has ended as the plain evaluation."""
    wanted, cancelled, left = expected(drawn), may_be_cancelled(drawn), not_awaited(drawn)
    status = run.status()
    states = {node.name: node.state for node in status.nodes}
    for at, end in enumerate(wanted):
        state, name = states[f"n{at}"], f"n{at}"
        if at in cancelled and state in ("REVOKED", "UPSTREAM_FAILED", "STARTED"):
            continue
        if at in left and state not in ENDED:
            continue  # the run has ended before this node
        if end is FAILED:
            assert state in ("FAILURE", "UPSTREAM_FAILED", "REVOKED"), (name, drawn, status)
        elif drawn[at].kind == "kept":
            assert state == "FAILURE", (name, drawn, status)
        else:
            assert state == "SUCCESS", (name, drawn, status)
            assert end is ANY or run[name].get() == end, (name, drawn)
    assert states["finally"] == "SUCCESS"
    sinks = [end for at, end in enumerate(wanted) if not any(at in node.parents for node in drawn)]
    assert (status.state == "FAILURE") == (FAILED in sinks), (drawn, status)
    if FAILED in sinks:
        assert isinstance(run.get(propagate=False), CanvasError | ValueError)


def is_undone(run, drawn, undone):
    """Whether ``undone`` is all that a run that has ended is to undo."""
    unsure = may_be_cancelled(drawn) | not_awaited(drawn)
    sure = sorted(name for name in undone if number_in(name) not in unsure)
    status = run.status()
    states = {node.name: node.state for node in status.nodes}
    return sure == to_undo(drawn, unsure, states, status.state == "FAILURE")


def assert_in_order(drawn, undone):
    """A node was undone after the nodes that depend on it."""
    for name in undone:
        after = {f"n{at}" for at, node in enumerate(drawn) if number_in(name) in node.parents and waits_for_all(node)}
        # A page that fails undoes its own items at once, before the run around it undoes anything.
        paged = drawn[number_in(name)].kind in ("pages", "yielded")
        last = len(undone) - undone[::-1].index(name) if paged else undone.index(name)
        assert not after & set(undone[last:]), (name, undone, drawn)
