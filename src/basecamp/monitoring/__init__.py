"""Readiness and metrics."""
