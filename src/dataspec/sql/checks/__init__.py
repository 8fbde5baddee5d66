"""Checks of the rows of a dataset (docs/checks.md): their SQL, and their results."""
