"""Flower's flags, and its file of settings: each has its meaning here, or is refused with what to use."""

import os
import subprocess
import sys

import httpx
import pytest
from flower.options import options as of_flower

from canvas import Canvas
from canvas.cli.monitoring.dashboard import flower
from canvas.dashboard.collecting.collector import Collector
from canvas.dashboard.options import DashboardOptions
from canvas.integrations.dashboard_metrics import DashboardMetrics
from tests.support.dashboards import eventually
from tests.support.processes import ROOT
from tests.support.redis_server import free_port
from tests.worker.commands import invoked

OF_TORNADO = {"help", "logging"}


@pytest.fixture
def app():
    return Canvas("flags", broker="memory://", backend="memory://", set_as_current=False)


def test_every_flag_of_flower_is_known_in_both_spellings():
    known = {name for option in flower.params for name in option.opts}
    names = {name for name in of_flower.as_dict() if name not in OF_TORNADO and not name.startswith("log_")}
    assert len(names) > 30
    wanted = {f"--{name}" for name in names} | {f"--{name.replace('_', '-')}" for name in names}
    assert wanted - known == set()


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--auth=.*@example.com"], "--user-header"),
        (["--oauth2_key=x"], "oauth2-proxy"),
        (["--auth-provider", "flower.views.auth.GoogleAuth2LoginHandler"], "--basic-auth"),
        (["--conf=missing.py"], "--conf missing.py: cannot be read"),
        (["--task_runtime_metric_buckets=1,x"], "expected numbers"),
        (["--read_only=maybe"], "not a valid boolean"),
    ],
)
def test_flags_that_are_refused_say_what_to_use(app, flags, text):
    refused = invoked(app, "flower", *flags, check=False)
    assert (refused.returncode, text in refused.stderr) == (2, True), refused.stderr


def test_the_file_of_settings(tmp_path):
    """The command line is before the file, the file before the environment; a flag without an effect says so."""
    (tmp_path / "flowerconfig.py").write_text(
        "import os\nread_only = True\nauto_refresh = 'false'\nbasic_auth = ['ann:a', 'bob:b']\nmax_tasks = 7\n"
        "persistent = True\nxheaders = True\ntask_runtime_metric_buckets = [1.0, 2.5]\nformat_task = None\n"
    )
    port = free_port()
    command = [sys.executable, "-m", "canvas", "-b", "memory://", "flower", f"--port={port}", "--max_tasks=9"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FLOWER_MAX_TASKS": "8", "FLOWER_READ_ONLY": "false"}
    process = subprocess.Popen(
        [*command, "--enable_events=false"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=("bob", "b"), timeout=60)

    def session():
        try:
            return client.get("/api/v1/session").json()
        except httpx.TransportError:
            assert process.poll() is None
            return None

    try:
        found = eventually(session, 60)
        assert (found["user"], found["read_only"], found["auto_refresh"], found["history"]) == (
            "bob",
            True,
            False,
            True,
        )
        assert client.get("/api/v1/session", auth=("ann", "b")).status_code == 401
        eventually((tmp_path / "flower.history.sqlite").exists)
    finally:
        client.close()
        process.terminate()
        said = process.communicate(timeout=30)[1]
    assert "--xheaders has no effect" in said


def test_buckets_of_runtimes():
    metrics = DashboardMetrics((2.5, 1.0))
    metrics._runtime.labels("t", "w", "q").observe(2)
    text = metrics.page([]).decode()
    bounds = [line.partition('le="')[2].partition('"')[0] for line in text.splitlines() if "runtime_bucket{" in line]
    assert bounds == ["1.0", "2.5", "+Inf"]


def test_workers_that_are_offline_are_forgotten(app):
    collector = Collector(app, DashboardOptions(purge_offline=10.0, inspect_timeout=0.01))
    for name, age in (("long", 500.0), ("lately", 5.0)):
        collector.take([{"type": "worker-heartbeat", "hostname": name, "freq": 1.0}])
        collector.cluster.workers[name].heartbeats[:] = [collector.cluster.workers[name].heartbeats[0] - age]
    collector._ask_workers()
    assert [worker.hostname for worker in collector.cluster.workers_now()] == ["lately"]
