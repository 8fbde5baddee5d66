"""SQL that goes on until somebody ends it."""

ENDLESS = "select count(*) from range(100000000000000) where range = -1"
"""In DuckDB: a day or so, on one core, in no more memory than an empty statement takes."""
