"""Lateness: since when each dataset is expected, and which of its partitions are late (docs/lateness.md)."""
