"""Starts a run by Airflow's API alone and polls it to its end; its arguments are Airflow's address and a DAG."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any

POLL_SECONDS = 0.1


def main(url: str, dag_id: str) -> None:
    """Start it, and end when it has succeeded."""
    connection = HTTPConnection(url.removeprefix("http://"))
    runs = f"/api/v2/dags/{dag_id}/dagRuns"

    def ask(method: str, path: str, body: Any = None) -> Any:
        connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        return json.load(connection.getresponse())

    run_id = ask("POST", runs, {"logical_date": datetime.now(UTC).isoformat()})["dag_run_id"]
    while (state := ask("GET", f"{runs}/{run_id}")["state"]) != "success":
        if state == "failed":
            sys.exit(f"{run_id} failed")
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
