"""The HTTP API: routes, problem details, health and metrics. No logic in it."""
