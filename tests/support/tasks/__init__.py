"""The tasks of the test apps, by subject. Each module defines its tasks with ``define(kit)``."""
