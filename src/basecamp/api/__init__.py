"""The HTTP API: routes, problem details, health and metrics. No logic in it."""

PREFIX = "/api/v1"
"""What the address of every route of the API begins with."""
