"""From the broker to the slots and back: leases, batches, prefetching, maintenance."""
