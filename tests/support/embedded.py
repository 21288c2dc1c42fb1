"""The app of ``tests.support.beats``, as a worker's ``-A``."""

import os

from tests.support.beats import make_app

app = make_app(os.environ["APP_BROKER"], os.environ["APP_BACKEND"])
if "APP_SHORT_LEASES" in os.environ:
    app.conf.update(worker_lease_ttl=2.0, worker_lease_heartbeat=0.5)
