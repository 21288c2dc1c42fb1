"""Beat by classes of schedulers, which programs subclass and name with ``-S``: Celery's interface."""
