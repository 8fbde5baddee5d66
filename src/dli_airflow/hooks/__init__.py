"""Connect to engines for which Airflow has no hook of its own."""
