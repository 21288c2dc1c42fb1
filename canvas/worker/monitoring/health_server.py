"""A node's HTTP endpoint: ``/health`` and ``/livez`` for probes, ``/metrics`` for Prometheus. Loopback by default."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from canvas.app.application import Canvas
from canvas.errors import BrokerError, ConfigurationError
from canvas.execution.background import NEVER, BackgroundService
from canvas.telemetry import attach
from canvas.text import pip_install


class MetricsPage(Protocol):
    """Metrics as Prometheus' text."""

    def page(self) -> bytes: ...


def _no_trouble() -> str:
    return ""


_STARTING = (503, b"the node has not started: it may be waiting for its broker\n")


class Endpoint:
    """Answers on a thread of its own, from before the node connects to its broker until it ends."""

    def __init__(
        self, app: Canvas, address: tuple[str, int], trouble: Callable[[], str] = _no_trouble
    ) -> None:  # fmt: skip
        """``trouble``: why the node is not healthy though its broker answers; empty when it is.

        Raises ConfigurationError when the address cannot be had.
        """
        self._ready = False
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = endpoint._pages.get(self.path.partition("?")[0])
                status, body = page() if page is not None else (404, b"expected /health, /livez or /metrics\n")
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Probes come every few seconds; they are no news."""

        self._app = app
        self._metrics: MetricsPage | None = None
        self._trouble = trouble
        self._pages = {"/health": self._health, "/livez": lambda: (200, b"ok\n"), "/metrics": self._metrics_page}
        try:
            self._server = ThreadingHTTPServer(address, Handler)
        except OSError as exc:
            raise ConfigurationError(f"--http-address {address[0]}:{address[1]}: {exc.strerror}") from exc
        self._server.daemon_threads = True
        self._service = BackgroundService("http", self._serve)
        # Forked processes would keep the port when this one is gone.
        self._detach = attach(lambda **_: self._server.socket.close(), "worker.process_init")

    def start(self) -> None:
        """Answer from now on."""
        self._service.start()

    def ready(self, metrics: MetricsPage | None) -> None:
        """The node has started. ``metrics``: ``None`` without prometheus_client."""
        self._metrics = metrics
        self._ready = True

    def _serve(self) -> float:
        self._server.serve_forever()
        return NEVER

    def stop(self) -> None:
        """Answer no more."""
        self._detach()
        if self._service.is_alive():
            self._service.stop()
            self._server.shutdown()
        self._server.server_close()

    def _health(self) -> tuple[int, bytes]:
        if not self._ready:
            return _STARTING
        try:
            self._app.driver.admin.queue_length(self._app.conf.task_default_queue)
        except BrokerError as exc:
            return 503, f"the broker does not answer: {exc}\n".encode()
        trouble = self._trouble()
        return (503, f"{trouble}\n".encode()) if trouble else (200, b"ok\n")

    def _metrics_page(self) -> tuple[int, bytes]:
        if not self._ready:
            return _STARTING
        if self._metrics is None:
            return 501, f"metrics need prometheus_client: {pip_install('prometheus')}\n".encode()
        return 200, self._metrics.page()
