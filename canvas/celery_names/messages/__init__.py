"""Messages of tasks, as `app.amqp` has them in Celery."""
