"""Sentry's cron monitors: the entries of beat, and the tasks that their ticks start."""

import json
import subprocess
import sys

PROGRAM = """
import json, time, warnings
import sentry_sdk
from sentry_sdk.transport import Transport
from canvas import Canvas
from canvas.beat.service import Service
from canvas.integrations.sentry import CeleryIntegration
from canvas.schedules import crontab
from canvas.testing.clock import ManualClock
from canvas.testing.worker import start_worker

found = []

class Kept(Transport):
    def capture_envelope(self, envelope):
        found.extend(item.payload.json for item in envelope.items if item.type == "check_in")

sentry_sdk.init(
    dsn="https://key@localhost/1", transport=Kept, auto_enabling_integrations=False,
    integrations=[CeleryIntegration(monitor_beat_tasks=True, exclude_beat_tasks=["quiet-.*"])],
)
clock = ManualClock(start=1_750_000_000.0)
app = Canvas("monitored", broker=clock.url, backend=clock.url)
app.task(lambda: 3, name="good")

@app.task(name="bad")
def bad():
    raise ValueError("bad")

app.conf.beat_schedule = {
    "each-minute": {"task": "good", "schedule": 60.0},
    "of-crontab": {"task": "bad", "schedule": crontab(minute="*/5", hour="1-23")},
    "quiet-one": {"task": "good", "schedule": 120.0},
    "fast": {"task": "good", "schedule": 30.0},
}
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    service = Service(app, monotonic=clock.time, wait=clock.wait)
    while clock.time() < 1_750_000_000 + 301:
        clock.wait(service.tick())
service.stop()
with start_worker(app):
    while len([one for one in found if one["status"] != "in_progress"]) < 6:
        time.sleep(0.02)
print(json.dumps([found, [str(one.message) for one in warned if "monitor" in str(one.message)]]))
"""


def test_each_tick_has_two_check_ins():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found, warned = json.loads(done.stdout)
    assert {one["monitor_slug"] for one in found} == {"each-minute", "of-crontab"}
    for slug, count, status, schedule in (
        ("each-minute", 5, "ok", {"type": "interval", "value": 1, "unit": "minute"}),
        ("of-crontab", 1, "error", {"type": "crontab", "value": "*/5 1-23 * * *"}),
    ):
        begun = [one for one in found if one["monitor_slug"] == slug and one["status"] == "in_progress"]
        ended = [one for one in found if one["monitor_slug"] == slug and one["status"] == status]
        assert len({one["check_in_id"] for one in begun}) == count
        assert {one["check_in_id"] for one in ended} == {one["check_in_id"] for one in begun}
        assert all(one["monitor_config"] == {"schedule": schedule, "timezone": "UTC"} for one in [*begun, *ended])
        assert all(one["duration"] is not None for one in ended)
    assert len(warned) == 1
    assert "'fast' has no monitor" in warned[0]
