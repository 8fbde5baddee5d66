"""Workflows: one row for each dataset and source, and pauses."""
