"""Read a dbt project: its files, its configuration, its manifest."""
