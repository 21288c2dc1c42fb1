"""The dashboard of the demonstration, served beside it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from canvas.app.application import Canvas

_STARTS_WITHIN = 10.0


def can_be_offered() -> bool:
    """Whether the libraries that the dashboard needs are installed."""
    return all(find_spec(name) is not None for name in ("starlette", "uvicorn", "prometheus_client"))


@contextmanager
def demo_page(app: Canvas) -> Iterator[str]:
    """Serve the dashboard of an app on a free port of loopback. Returns its address."""
    import uvicorn

    from canvas.dashboard import dashboard

    served = dashboard(app)
    config = uvicorn.Config(served, host="127.0.0.1", port=0, log_level="critical", timeout_graceful_shutdown=1)
    socket = config.bind_socket()
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([socket],), name="canvas-demo-page", daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + _STARTS_WITHIN
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{socket.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(_STARTS_WITHIN)
