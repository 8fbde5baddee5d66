"""Store and read specs, decide which one is effective, and keep their versions."""
