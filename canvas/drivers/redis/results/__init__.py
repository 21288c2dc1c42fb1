"""Results, chords and runs on a Redis server."""
