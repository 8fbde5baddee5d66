"""The HTTP API does what its OpenAPI document says, whatever is sent."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import Client, Response

from basecamp.services import Services
from served_app import served

TESTS = Path(__file__).parents[3]
PROBLEM = "application/problem+json"

Register = Callable[..., Response]
Publish = Callable[..., None]


@pytest.mark.rule("19.22")
def test_every_response_is_as_the_document_says(
    app: FastAPI, client: Client, services: Services, register: Register, publish: Publish
) -> None:
    register()
    register("sales.overridden")
    publish("sales.overridden")
    run = client.post("/workflows/sales.daily/runs", json={"parameters": {"execution_date": "2024-01-14"}})
    dates = {"start": "2024-01-01", "end": "2024-01-03"}
    backfill = client.post("/workflows/sales.daily/backfills", json=dates)
    known = {"RUN_ID": run.json()["run_id"], "BACKFILL_ID": backfill.json()["backfill_id"]}
    services.readiness.look()
    with served(app) as address:
        tried = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", TESTS / "schemathesis.toml"),
                *("run", f"{address}/openapi.json", "--no-color"),
            ],
            env=os.environ | known | {"PYTHONPATH": str(TESTS)},
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
    assert tried.returncode == 0, tried.stdout + tried.stderr


@pytest.mark.rule("19.22")
def test_the_document_declares_every_kind_of_response(client: Client) -> None:
    paths = client.get("http://test/openapi.json").json()["paths"]
    for path, operations in paths.items():
        for method, operation in operations.items():
            responses: dict[str, Any] = operation["responses"]
            assert PROBLEM in responses["default"]["content"]
            assert ("304" in responses) == (method == "get"), path
            if "201" in responses:
                assert "Location" in responses["201"]["headers"], path
