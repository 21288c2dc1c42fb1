"""What a worker's banner shows of its configuration."""

from canvas import Canvas
from canvas.worker.banner import banner
from canvas.worker.options import WorkerOptions


def shown(http_address=None, **settings):
    app = Canvas("banner", broker="memory://banner", set_as_current=False, **settings)
    plan = WorkerOptions("here", ["celery"], 1, "solo", 0, False, None, None, None, False, False, None)
    return dict(
        line.strip(" .>").split(":", 1)
        for line in banner(app, plan, http_address).splitlines()
        if " .> " in line and ": " in line
    )


def test_time_limits_of_tasks_that_have_none():
    assert shown()["time limits"].strip().startswith("none")
    assert shown(task_time_limit=30, task_soft_time_limit=2.5)["time limits"].strip() == "2.5 s soft, 30 s hard"


def test_the_http_address():
    assert shown()["http"].strip().startswith("OFF")
    assert shown(("127.0.0.1", 8080))["http"].strip() == "http://127.0.0.1:8080 (/health, /livez, /metrics)"
    assert "http://[::1]:80 " in shown(("::1", 80))["http"] + " "
