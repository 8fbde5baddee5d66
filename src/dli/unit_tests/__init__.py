"""Unit tests of datasets (docs/unit-tests.md): planned, run on DuckDB in memory, and reported.

A test is read from a spec or a file of tests (``sources``), its rows from YAML or CSV (``fixtures``). ``planning``
finds its mistakes and the SQL to run, in a child process, and ``given`` the tables that it needs; ``running`` runs
that, and ``difference`` compares the rows.
"""
