"""What Airflow's machines install: from specs in the store to DAGs, and from a run to SQL on an engine.

The DAG bundle copies the store's specs to small files, the factory builds a DAG of each,
the timetable says when it runs, and the operator renders its SQL and runs it on an Airflow
connection. ``docs/airflow.md`` is its page.
"""
