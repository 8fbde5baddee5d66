"""Registered specs: checked, stored, changed and removed; the SQL in them; whether Airflow has loaded them."""
