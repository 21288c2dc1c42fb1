"""Commands that watch what workers do: events, the dashboard."""
