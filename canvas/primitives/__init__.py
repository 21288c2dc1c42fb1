"""The primitives that users compose: signatures, chains, groups, chords, maps."""
