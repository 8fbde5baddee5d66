"""The web interface: server-rendered pages, without logic of their own (docs/page.md)."""
