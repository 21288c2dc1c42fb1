from contextlib import suppress

import sentry_sdk
import watched

with sentry_sdk.start_transaction(op="test", name="client") as transaction:
    assert watched.add.delay(1, 2).get(timeout=30) == 3
    for task in (watched.fails, watched.expected):
        result = task.delay(*(("secret",) if task is watched.fails else ()))
        result.get(timeout=30, propagate=False)
    assert watched.add.delay(0, 0).get(timeout=30) == 0
    assert watched.again.delay().get(timeout=30) == "done"
    print(transaction.trace_id)
with sentry_sdk.start_transaction(op="test", name="eager"):
    watched.add.apply((3, 4))
    watched.fails.apply(("eager",))
    with suppress(ValueError):
        watched.fails.apply(("thrown",), throw=True)
sentry_sdk.flush()
