"""A folder with apps in the modules ``proj`` and ``dead``, and ``canvas`` as it runs there."""

import os

from tests.support import forked

MODULE = """
from canvas import Canvas, Workflow
app = Canvas("proj", broker={broker!r}, backend={backend!r})
other = Canvas("second", broker="memory://")

@app.task(name="proj.add")
def add(x, y):
    return x + y

flow = add.s(1, 2) | add.s(3)
work, plain = Workflow("work", app), Workflow("plain", app)
work.map(add.s(1), over=work.add(add.s(1, 2)))
plain.add(add.s(plain.add(add.s(1, 2)), 3))
number = 3
"""


def commands_in(folder, broker, backend):
    """Write the modules into the folder; the function that runs ``canvas`` with arguments, and environment by name.

    The app of ``dead`` has a broker that is not there."""
    (folder / "proj.py").write_text(MODULE.format(broker=broker, backend=backend))
    (folder / "dead.py").write_text(MODULE.format(broker="redis://127.0.0.1:1/0", backend="disabled://"))

    def call(*arguments, **environment):
        return forked.run("canvas", *arguments, environment={**os.environ, **environment}, folder=folder)

    return call
