"""Basecamp, the control plane: registers datasets, starts and watches their runs on Airflow.

It keeps nothing of its own: the store holds the specs, Airflow the runs (specification 18.1).
"""
