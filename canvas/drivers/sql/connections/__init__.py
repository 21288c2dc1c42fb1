"""Connections to a database that are kept: for calls, and for announcements of records."""
