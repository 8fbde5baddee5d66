"""Runs on this machine: ``dli dataset run`` on the project's own connections."""
