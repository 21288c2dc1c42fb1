"""Random workflows, written alike for canvas and Celery, and what one run of each comes to."""
