"""Bounds on the wait for a store or an Airflow that does not answer."""
