"""What identifies the user to a server: ``DLI_TOKEN``, or the token that ``dli login`` has kept (docs/access.md)."""
