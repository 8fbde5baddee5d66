"""The SQL of each engine that publishes rows in one atomic act (docs/materialization.md)."""
