"""``celery.contrib``: the remote debugger, the extension of Sphinx, and messages for tests."""
