"""The service of a scheduler class: outages, health, and where it runs."""

import contextvars
import threading
from datetime import timedelta

import pytest
from kombu.exceptions import OperationalError as KombuError

from canvas import Canvas
from canvas.beat.running import start_thread
from canvas.beat.scheduler_classes import scheduler
from canvas.beat.scheduler_classes.service import EmbeddedService, SchedulerService, scheduler_class
from canvas.beat.sources import service_of
from canvas.errors import ConfigurationError, OperationalError
from tests.ecosystem.running import until
from tests.support.scheduler_kinds import EVERY, Ours

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Away:
    """A scheduler whose broker is away for two ticks."""

    def __init__(self, app, max_interval=None, schedule_filename=None, lazy=False):
        self.app, self.max_interval, self.file = app, max_interval or 5, schedule_filename
        self.ticks, self.closed, self.info = 0, False, ""

    def tick(self):
        self.ticks += 1
        if self.ticks < 3:
            raise OperationalError("the broker is away")
        return 0.01

    def should_sync(self):
        return False

    def close(self):
        self.closed = True


def test_the_service_ticks_through_an_outage_and_closes_its_scheduler(monkeypatch, caplog):
    monkeypatch.setattr("canvas.beat.scheduler_classes.service.RETRY_EVERY", 0.01)
    app = Ours.app()
    service = service_of(app, Away)
    assert isinstance(service, SchedulerService)
    assert service.about == "    . scheduler -> tests.unit.test_scheduler_service.Away"
    thread = threading.Thread(target=service.start)
    thread.start()
    until(lambda: service.scheduler.ticks > 5)
    assert service.trouble() == ""
    service.stop(wait=True)
    thread.join(20)
    assert service.scheduler.closed
    assert "beat: Connection error: the broker is away. Trying again in 0.01 seconds..." in caplog.text


def test_a_stalled_service_is_unhealthy(monkeypatch):
    service = SchedulerService(Ours.app(), scheduler_cls=Away)
    monkeypatch.setattr(service, "_looked_at", service._looked_at - 1000)
    assert service.trouble() == "beat has not looked for due entries for 1000 s"


def test_a_scheduler_class_sends_to_a_worker_on_a_thread():
    app = Ours.app(beat_schedule={"often": {"task": "t.ping", "schedule": 0.05}}, task_always_eager=True)
    pinged = threading.Event()
    app.task(pinged.set, name="t.ping")
    service = EmbeddedService(app, scheduler_cls=scheduler.Scheduler)
    service.start()
    assert pinged.wait(20)
    service.stop()
    assert not service.is_alive()


def test_a_scheduler_in_a_worker_has_the_context_of_its_program():
    tenant = contextvars.ContextVar("tenant", default="none")
    seen = []

    class Asking(scheduler.Scheduler):
        def setup_schedule(self):
            seen.append(tenant.get())

    def program():
        tenant.set("first")
        return start_thread(SchedulerService(Ours.app(), scheduler_cls=Asking))

    end = contextvars.copy_context().run(program)
    until(lambda: seen)
    end()
    assert (seen, tenant.get()) == (["first"], "none")


def test_classes_are_found_by_path_and_by_the_name_that_a_package_gives(monkeypatch):
    path = "canvas.beat.scheduler_classes.scheduler"
    assert scheduler_class(f"{path}:Scheduler") is scheduler_class(f"{path}.Scheduler") is scheduler.Scheduler

    class Point:
        name, value = "plugged", f"{path}:Scheduler"

    monkeypatch.setattr("canvas.beat.scheduler_classes.service.entry_points", lambda group: [Point])
    assert scheduler_class("plugged") is scheduler.Scheduler


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("nowhere.Scheduler", "scheduler 'nowhere.Scheduler': cannot import"),
        ("json:dumps", "expected a class with a method tick"),
    ],
)
def test_what_is_no_scheduler_is_refused(named, words):
    with pytest.raises(ConfigurationError, match=words):
        service_of(Ours.app(), named)


def test_an_unreachable_broker_is_an_error_of_the_tick():
    app = Canvas("away", broker="redis://127.0.0.1:1/0", set_as_current=False, broker_connection_max_retries=1,
                 beat_schedule={"a": EVERY})  # fmt: skip
    app.conf.broker_transport_options = {"interval_start": 0, "interval_step": 0}
    found = scheduler.Scheduler(app)
    found.schedule["a"].last_run_at -= timedelta(minutes=5)
    with pytest.raises((KombuError, OperationalError)):
        found.tick()
    assert found.schedule["a"].total_run_count == 0
    found.close()
