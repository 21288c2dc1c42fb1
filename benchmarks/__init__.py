"""What canvas costs, beside real Celery and the bare Redis loop, measured in one run."""
