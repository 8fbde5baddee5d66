"""The routes of the HTTP API; they hold no logic."""
