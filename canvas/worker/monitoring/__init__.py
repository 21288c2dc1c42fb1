"""A worker's heartbeat, events and HTTP endpoint."""
