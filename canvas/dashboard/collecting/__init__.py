"""Where the dashboard's data comes from: events, looks at the broker, and answers of workers."""
