"""Datasets as the store and Airflow have them: specs, DAGs, names, dialects and SQL. Nothing here writes a spec."""
