"""``manage.py canvas``: the command line of canvas, for the shop's app."""

import sys

from django.core.management.base import BaseCommand
from shop import app


class Command(BaseCommand):
    """All words after ``canvas`` are those of its command line: ``manage.py canvas worker -l INFO``."""

    help = "Run a command of canvas for this project, such as worker, beat or inspect."

    def run_from_argv(self, argv: list[str]) -> None:
        sys.exit(app.start(argv[2:]))
