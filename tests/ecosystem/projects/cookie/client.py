import config
import django
from celery.result import EagerResult

django.setup()
from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from users.tasks import get_users_count  # noqa: E402

call_command("migrate", verbosity=0)
get_user_model().objects.bulk_create([get_user_model()(username=f"user{number}") for number in range(3)])
result = get_users_count.delay()
assert result.get(timeout=30) == 3
assert (result.name, config.celery_app.conf.task_time_limit) == ("users.tasks.get_users_count", 300)
config.celery_app.conf.task_always_eager = True
task_result = get_users_count.delay()
assert isinstance(task_result, EagerResult)
assert task_result.result == 3
print("counted")
