"""``python -m benchmarks.peer_apps LIBRARY COUNT`` fills its queue; ``… rq work`` is rq's worker, which has no command
for a worker that does not fork."""

import sys
from importlib import import_module

library, what = sys.argv[1:]
module = import_module(f"benchmarks.peer_apps.{library}_app")
if what == "work":
    module.work()
else:
    module.fill(int(what))
