"""The SQL by which each engine stages, checks and publishes the rows of a query (docs/materialization.md)."""
