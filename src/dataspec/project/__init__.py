"""Checks of one spec and across a project's specs, and the graph of its datasets."""
