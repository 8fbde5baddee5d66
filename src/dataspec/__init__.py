"""The language that the command line, the server and Airflow's machines share.

What a Dataset Spec is, how it is read and checked, how its SQL is rendered, where it
is kept, and which of two specs with one name is run. Free of HTTP, Airflow and
terminals; heavy libraries are imported only where they are used.
"""
