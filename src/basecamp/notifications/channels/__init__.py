"""Channels: Slack, webhooks, and e-mail and named targets by Apprise."""
