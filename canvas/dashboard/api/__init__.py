"""The dashboard's own API, below ``/api/v1``."""
