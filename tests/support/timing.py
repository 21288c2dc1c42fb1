"""Times that a test measures."""


def quickest(measure, limit, attempts=10):
    """The shortest time, in seconds, that ``measure()`` returned; no more attempts follow one below ``limit``.

    The machine may be busy during one attempt, but not during all of them.
    """
    found = []
    while len(found) < attempts:
        found.append(measure())
        if found[-1] < limit:
            break
    return min(found)
