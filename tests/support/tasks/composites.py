"""Tasks that go on as other tasks: signatures in their place, members of their chord, workflows, pages."""

import asyncio

from tests.support.tasks.kit import Kit


def define(kit: Kit):
    app, task, note = kit.app, kit.task, kit.note

    @task(name="t.swap", bind=True)
    def swap(self, *args):
        *given, data = args
        sig = app.signature(data)
        if sig.subtask_type is None:
            sig = sig.clone(tuple(given))
        elif given:
            sig = app.tasks["t.ident"].s(*given) | sig
        return self.replace(sig)

    @task(name="t.swap_again", bind=True)
    def swap_again(self, data):
        return self.replace(app.tasks["t.swap"].s(data))

    @task(name="t.grow", bind=True)
    def grow(self, value, *data):
        for one in data:
            self.add_to_chord(app.signature(one))
        return value

    @task(name="t.builds", bind=True)
    def builds(self, depth, key, how="return"):
        """A workflow that ends with a number: deeper by ``depth`` levels."""
        from canvas import Workflow

        note(key, depth)
        if depth == 0:
            return 0
        flow = Workflow(f"level {depth}", self.app)
        inner = flow.add(self.s(depth - 1, key, how), name="inner")
        flow.add(app.tasks["t.add"].s(inner, 1), name="more")
        return self.replace(flow) if how == "replace" else flow

    @task(name="t.builds_gated", bind=True)
    def builds_gated(self, key, gate):
        from canvas import Workflow

        flow = Workflow("gated", self.app)
        first = flow.add(app.tasks["t.noted"].s(1, key), name="first")
        flow.add(app.tasks["t.gated"].s(first, key=gate), name="gated")
        return flow

    @task(name="t.builds_traced", bind=True)
    def builds_traced(self, key):
        """A workflow of one step, which can be undone."""
        from canvas import Workflow

        flow, traced = Workflow("grown", self.app), app.tasks["t.traced"]
        flow.add(traced.s(1, key), compensate=traced.s(key), name="g")
        return flow

    @task(name="t.builds_paused", bind=True)
    def builds_paused(self, key):
        """A workflow of three steps side by side."""
        from canvas import Workflow

        flow = Workflow("grown", self.app)
        flow.map(app.tasks["t.paused"].s(key), over=[1, 2, 3])
        return flow

    @task(name="t.naps", bind=True)
    def naps(self, item):
        """A workflow that sleeps for an hour."""
        from canvas import Workflow

        flow = Workflow("nap", self.app)
        flow.sleep(3600)
        return flow

    @task(name="t.yields")
    def yields(number, size):
        for first in range(0, number, size):
            yield list(range(first, min(first + size, number)))

    @task(name="t.yields_async")
    async def yields_async(number, size):
        for first in range(0, number, size):
            await asyncio.sleep(0)
            yield list(range(first, min(first + size, number)))
