"""Telling people: what changed or ended, through which channel, until it has arrived (docs/notifications.md)."""
