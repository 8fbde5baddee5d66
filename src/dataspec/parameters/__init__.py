"""A run's parameters. Start with ``resolve``; ``types`` converts each value."""
