import time

import helped
from celery_heimdall import AlreadyQueuedError
from sqlalchemy_celery_beat.models import IntervalSchedule, Period, PeriodicTask
from sqlalchemy_celery_beat.session import SessionManager


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


user = helped.birthday.delay(helped.User(name="Ada", age=36)).get(timeout=30)
assert user == helped.User(name="Ada", age=37)
print("celery-pydantic")

first = helped.unique.delay(1)
try:
    helped.unique.delay(2)
except AlreadyQueuedError:
    assert first.get(timeout=30) == 1
else:
    raise AssertionError("celery-heimdall has let a second call pass")
assert helped.unique.delay(3).get(timeout=30) == 3
print("celery-heimdall")

try:
    helped.fail.delay().get(timeout=30)
except ValueError:
    until(lambda: helped.noted.get("bugsnag") == b"helped.fail: ValueError")
    print("bugsnag")
    until(lambda: helped.noted.get("rollbar") == b"ValueError")
    print("rollbar")

until(lambda: int(helped.noted.get("eternal") or 0) > 1)
print("celery-eternal")

session = SessionManager().session_factory(helped.app.conf.beat_dburi)
schedule = IntervalSchedule(every=1, period=Period.SECONDS)
session.add(schedule)
session.commit()
session.add(PeriodicTask(schedule_model=schedule, name="of the table", task="helped.tick", args='["table"]'))
session.commit()
until(lambda: int(helped.noted.get("table") or 0) > 1)
assert session.query(PeriodicTask).filter_by(name="celery.backend_cleanup").one().task == "celery.backend_cleanup"
print("sqlalchemy-celery-beat")
