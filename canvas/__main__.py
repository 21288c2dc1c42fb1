"""``python -m canvas``."""

from canvas.cli.main import main

main()
