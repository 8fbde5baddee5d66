"""Translate the SQL of a dbt project: its templates and its macros."""
