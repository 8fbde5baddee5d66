"""SQL templates: sandboxed Jinja within a budget. Start with ``render``; ``jinja`` does what needs Jinja."""
