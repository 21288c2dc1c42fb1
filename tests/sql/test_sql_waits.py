"""Workflows that wait, repeat and nest, with their runs in SQL."""

import asyncio

from canvas.testing.contract import eventually
from tests.chaos.test_waits import states_of, waiting_flow
from tests.sql.test_sql_chords import app, bench, worker  # noqa: F401 - fixtures


def test_waits_end_as_on_redis(bench, app, url):  # noqa: F811 - fixtures
    key = bench.new_key()
    with worker(bench, url, "-P", "threads", "-c", "3"):
        runs = [waiting_flow(app, key, key).apply_async() for _ in range(2)]
        first, other = runs

        async def at_once():
            go = [run.asignal("go", 5, key="only") for run in (first, other, first)]
            await asyncio.gather(go[0], other.asignal("kept", 1), *go[1:])

        eventually(lambda: all(run.status().counts.get("AWAITING_SIGNAL") for run in runs))
        first.signal("kept", 1)
        asyncio.run(at_once())
        other.signal("go", 5, key="only")
        for run in runs:
            assert run["end"].get(timeout=60) == 14
            assert run["after all"].get(timeout=60) == 11
            assert run.result.get(timeout=60) is None
            assert run.signals() == {"kept": [1]}
            assert {node.name: node.started for node in run.status().nodes}["end"] is not None
            eventually(lambda run=run: states_of(run)["late"] == "REVOKED")
        flow = app.Workflow("cancelled")
        flow.wait_for("never")
        stopped = flow.apply_async()
        eventually(lambda: states_of(stopped)["never"] == "AWAITING_SIGNAL")
        stopped.cancel()
        eventually(lambda: stopped.status().state == "CANCELLED")
