"""Integration with other libraries: Django, OpenTelemetry, Prometheus."""
