"""A spec's SQL: templates, values as data, parsing in its dialect, lineage.

Start with ``rendering`` (the statements of one run) and ``validation`` (a spec checked with its SQL files).
``samples`` renders SQL without a run, for ``lint`` and ``lineage``.
"""
