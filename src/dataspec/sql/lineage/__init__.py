"""Lineage: the tables that a dataset's SQL reads and writes, and when two names mean one table."""
