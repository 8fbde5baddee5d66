"""Run a dataset's statements on an engine: the same code in Airflow and in ``dli dataset run``."""
