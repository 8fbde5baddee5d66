"""Build DAGs from the specs in the store, and run their SQL: what Airflow's machines install.

``bundle`` (Airflow 3) and ``dag_files`` (Airflow 2) keep the ``mirror`` of the store up to date, ``factory`` builds
a DAG of each dataset, ``timetable`` schedules it, and ``operator`` renders its SQL and runs it on an Airflow
connection. ``docs/airflow.md`` describes the installation.
"""
