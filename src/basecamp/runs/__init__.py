"""Runs: started, found, listed, stopped, retried; their logs and why they failed."""
