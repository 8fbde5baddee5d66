"""A simulation of replicas, clients, a store and an Airflow in one process, in which everything fails by a seed."""
