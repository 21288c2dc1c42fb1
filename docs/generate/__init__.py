"""Makes the generated parts of the pages in ``docs/`` from the code; ``python -m docs.generate`` writes them.

A page keeps its text around ``<!-- generated: NAME -->`` and ``<!-- end -->``; the lines between the two are replaced.
"""
