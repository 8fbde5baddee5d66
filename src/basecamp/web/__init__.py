"""The web page: rendered on the server, no logic of its own (docs/page.md)."""
