"""``canvas celery``: a command line written for ``celery``, in a process where canvas serves that name."""

import os
import sys
from collections.abc import Sequence

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.pass_context
def celery(ctx: click.Context, /) -> None:
    """Run ``celery``'s command line on canvas: canvas celery -A proj worker.

    Modules named celery are canvas' own, in this process and in processes that it starts.
    """
    _serve()
    from canvas.cli.main import canvas as commands

    commands(ctx.args, prog_name="canvas celery")


def _serve() -> None:
    # Processes that the command starts serve the name, too.
    os.environ["CANVAS_AS_CELERY"] = "1"
    import canvas.as_celery  # noqa: F401 - the import installs it


def main() -> None:
    """The command ``celery`` of the distribution celery-on-canvas."""
    _serve()
    run()


def run(argv: Sequence[str] | None = None) -> None:
    """``celery.__main__.main``: run the command line, with ``argv`` or the arguments of the process."""
    from canvas.cli.main import main as run_commands

    if argv is not None:
        sys.argv = list(argv)
    run_commands()
