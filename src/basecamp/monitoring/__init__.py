"""Readiness checks and Prometheus metrics."""
