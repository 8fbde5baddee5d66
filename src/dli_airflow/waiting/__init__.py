"""Datasets that wait for each other: the task that waits, its trigger, and what was built (docs/waiting.md)."""
