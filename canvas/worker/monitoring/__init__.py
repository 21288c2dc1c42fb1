"""A worker's heartbeat, events and HTTP endpoint, and the check of its leases."""
