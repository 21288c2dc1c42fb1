"""Names of Celery and kombu, and the objects of canvas that stand for them."""
