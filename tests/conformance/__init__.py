"""Celery's own test suites, run against canvas: `python -m tests.conformance`.

Nothing of Celery's sources is stored here. The runner downloads Celery's source distribution with pip, copies its
tests into a folder that git ignores, and rewrites their imports so that they test canvas.
"""
