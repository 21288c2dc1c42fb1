"""``python -m docs.generate`` writes the generated parts; with ``--check`` it only names the pages that are stale."""

import sys

from docs.generate.pages import stale, write

if "--check" in sys.argv[1:]:
    names = [str(path) for path in stale()]
    if names:
        sys.exit(f"stale: {', '.join(names)}; run: python -m docs.generate")
else:
    write()
