"""What replaces `celery.contrib.pytest` where Celery's client drives a worker of canvas."""

import pytest
from celery.contrib.pytest import celery_app, celery_parameters, celery_session_app, use_celery_app_trap

__all__ = ["celery_app", "celery_parameters", "celery_session_app", "celery_session_worker", "use_celery_app_trap"]


@pytest.fixture(scope="session")
def celery_session_worker(celery_session_app, celery_includes, celery_class_tasks):
    """The worker runs already: the runner has started it."""
    for module in celery_includes:
        celery_session_app.loader.import_task_module(module)
    for task in celery_class_tasks:
        celery_session_app.register_task(task)
