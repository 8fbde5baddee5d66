"""Runs: start, stop, retry, lookup, history, logs, and why a run failed."""
