"""The Python client: synchronous and asynchronous, made of one description of each call."""
