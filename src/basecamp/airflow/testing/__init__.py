"""An Airflow in memory, for tests and for trying Basecamp out without one."""
