"""The tasks of the web application: ``canvas -A tasks worker -l INFO``."""

import os
from typing import Any

from canvas import Canvas

REDIS = os.environ.get("REDIS_URL", "redis://localhost:6379")
app = Canvas("reports", broker=f"{REDIS}/0", backend=f"{REDIS}/1", task_track_started=True)


@app.task(bind=True)
def report(self: Any, pages: int) -> str:
    for page in range(1, pages + 1):
        self.update_state(state="PROGRESS", meta={"page": page, "pages": pages})
    return f"a report of {pages} pages"
