"""`basecamp dev`: Basecamp with an Airflow of its own on this machine, in one command.

Installs Airflow once into a home folder, starts its parts and Basecamp, watches them,
and takes all of them down again. Everything that it keeps is under that one folder.
"""
