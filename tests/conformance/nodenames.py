"""The name of the worker, for tests that address it."""

import os


def anon_nodename():
    return os.environ["CONFORMANCE_NODENAME"]
