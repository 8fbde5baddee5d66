"""The Airflow of `basecamp dev`: its environment, database, settings and connections."""
