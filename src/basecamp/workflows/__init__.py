"""Workflows: one row for each dataset and source, pauses, and DAGs as Airflow has them."""
