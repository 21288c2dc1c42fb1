"""Other libraries beside canvas: Django, OpenTelemetry, Prometheus."""
