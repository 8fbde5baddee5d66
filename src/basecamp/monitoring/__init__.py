"""Readiness checks, Prometheus metrics and the daily housekeeping."""
