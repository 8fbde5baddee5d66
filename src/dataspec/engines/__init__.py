"""Running a dataset's statements on an engine, on Airflow's machines and on a person's alike."""
