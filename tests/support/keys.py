"""What may stay in Redis for ever: what waits, what runs, and what the page on keys says that stays."""

import re

STAYS = re.compile(
    r"""
      _kombu\.binding.*                         # queues and how they are reached
    | unacked | unacked_index                   # what workers hold
    | canvas:(workers(:silent_since|:live_until)?|leases:.*|early_acked:.*|orphans:(workers|reasons)|prefetched:.*)
    | canvas:delayed(:messages)? | canvas:concurrency:(limits|waiting:.*|permits:.*)
    | canvas:(outbox|detached:.*) | canvas:dead_letters:.* | canvas:revoked(:version)?
    """,
    re.VERBOSE,
)


def assert_accounted_for(bench):
    """Each key expires, is a queue, or is one of those; results always expire."""
    left = []
    for client, in_results in ((bench.broker, False), (bench.results, True)):
        for name in client.keys():
            text = name.decode(errors="replace")
            if client.ttl(name) != -1 or (in_results and text.startswith("canvas:chords:ready")):
                continue
            if in_results or not (client.type(name) == b"list" or STAYS.fullmatch(text)):
                left.append(text)
    assert left == [], left
