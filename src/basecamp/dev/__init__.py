"""`basecamp dev`: Basecamp with its own Airflow on this machine, in one command.

Installs Airflow once into a home folder, starts its components and Basecamp, supervises them, and
stops them. All files are in the home folder.
"""
