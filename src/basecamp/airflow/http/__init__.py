"""HTTP to Airflow: requests with timeouts and retries, credentials, pages."""
