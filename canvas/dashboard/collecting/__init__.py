"""The sources of the dashboard's data: events, reads of the broker, and answers of workers."""
