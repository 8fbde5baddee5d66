"""The HTTP API: routes, middleware, problem details. The services have the logic."""

PREFIX = "/api/v1"
"""Path prefix of the API's routes."""
