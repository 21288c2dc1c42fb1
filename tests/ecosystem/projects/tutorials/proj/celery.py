"""Celery's guide, "Next Steps"."""

import os

from celery import Celery

app = Celery("proj", broker=os.environ["BROKER"], backend=os.environ["RESULTS"], include=["proj.tasks"])

# Optional configuration, see the application user guide.
app.conf.update(result_expires=3600, task_routes={"proj.tasks.mul": {"queue": "hipri"}})

if __name__ == "__main__":
    app.start()
