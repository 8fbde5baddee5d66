"""Notifications of source changes and finished runs: messages, the outbox, delivery to channels (docs/notifications.md)."""
