"""A real Flower on a broker."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

from tests.support.dashboards import eventually
from tests.support.processes import ROOT
from tests.support.redis_server import free_port


class Flower:
    """Flower with Celery's command, and an app of the tests."""

    def __init__(self, broker, backend=None):
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        environment = {**os.environ, "FLOWER_UNAUTHENTICATED_API": "true"}
        named = ["-b", broker]
        if backend is not None:
            environment |= {
                "APP_LIBRARY": "celery",
                "APP_BROKER": broker,
                "APP_BACKEND": backend,
                "CELERY_RESULT_BACKEND": backend,
            }
            named = ["-A", "tests.support.apps:app"]
        arguments = ["flower", f"--port={self._port}", "--address=127.0.0.1", "--inspect_timeout=3000"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "celery", *named, *arguments],
            env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def ask(self, path, data=None):
        """The JSON of a path; with ``data`` the answer to a POST of it."""
        method = "GET" if data is None else "POST"
        request = urllib.request.Request(f"{self.url}{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def __enter__(self):
        def answers():
            try:
                return self.ask("/api/workers") is not None
            except OSError:
                return False

        eventually(answers, 60)
        return self

    def __exit__(self, *exc):
        self._process.terminate()
        self._process.communicate(timeout=20)
