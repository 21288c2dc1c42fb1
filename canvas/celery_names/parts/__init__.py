"""Names of Celery that are objects of a program: the parts of an app, queues, kinds of tasks."""
