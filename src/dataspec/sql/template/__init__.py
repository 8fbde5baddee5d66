"""SQL templates: Jinja in a sandbox with a budget, its filters, its branches and sample values for them."""
