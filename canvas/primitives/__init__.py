"""Signatures, chains, groups, chords, maps: what users compose."""
