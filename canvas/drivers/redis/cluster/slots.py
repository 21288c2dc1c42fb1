"""Hash tags, and the slots that they lead to."""

from binascii import crc_hqx

SLOTS = 16_384


def slot_of(tag: str) -> int:
    """The slot of the keys with this hash tag."""
    return crc_hqx(tag.encode(), 0) % SLOTS


def spread_tags(count: int) -> list[str]:
    """A hash tag for each of ``count`` equal ranges of slots, in order: nodes that share the slots share the tags."""
    found: list[str] = []
    for number in range(count):
        first, last = number * SLOTS // count, (number + 1) * SLOTS // count
        suffix = 0
        while not first <= slot_of(f"canvas-{number}-{suffix}") < last:
            suffix += 1
        found.append(f"canvas-{number}-{suffix}")
    return found
