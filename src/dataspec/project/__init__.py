"""A project's specs: each checked by itself, then together, and the graph of its datasets.

Start with ``spec_checks``, then ``cross_checks`` and ``graph``.
"""
