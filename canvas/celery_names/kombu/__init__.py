"""Helpers of kombu, for programs that import them where kombu is not installed."""
