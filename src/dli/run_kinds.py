"""The difference between the two commands named ``run``; the help of both states it (specification 22.29)."""

DIFFERENCE = """\b
                  dli dataset run               dli workflow run
runs on           this machine                  the server (Airflow)
meant for         development, quick feedback   production, schedules
needs the server  no                            yes
resources         this machine's                managed by Airflow
history           a local log only              kept in Airflow"""
