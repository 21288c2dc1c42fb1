"""Results of a Django project, in the tables of django-celery-results."""
