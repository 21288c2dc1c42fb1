"""A camera of ``canvas events``: writes the workers that it sees, and how many tasks, into the file ``PICTURES``."""

import os
from pathlib import Path

from canvas.celery_names.parts.snapshot import Polaroid


class Camera(Polaroid):
    def on_shutter(self, state):
        lines = [f"{name} {state.task_count}" for name in state.workers]
        Path(os.environ["PICTURES"]).write_text("\n".join(lines))
