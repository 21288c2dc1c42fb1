"""Bytes ⇄ words: messages, results, signatures, in Celery's formats. Pure; knows no driver and no graph."""
