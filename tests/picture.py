"""Take the picture of the README, ``docs/images/datasets.png``: the page of datasets, with rows of every status.

Run as ``.venv/bin/python tests/picture.py``. It needs Chromium; the times in the picture are the current ones.
Reduce the file to 256 colours afterwards, for example with pngquant.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Literal

from basecamp.airflow.testing.airflow import MemoryAirflow
from basecamp.airflow.testing.dag_processor import MemoryDags
from basecamp.api.app import create_app
from basecamp.server.wiring import build_services
from basecamp.shared.clock import ManualClock, SystemClock
from basecamp.web.routes import router
from dataspec.catalog.spec_storage import Release, manual_key, write_release
from dataspec.schedule.cron import previous_tick
from dataspec.store import MemoryStore, Store
from served_app import served

PICTURE = Path(__file__).parents[1] / "docs/images/datasets.png"
SIZE = "1240,872"
PIXELS_PER_POINT = 2
SECONDS_OF_AN_ATTEMPT = 30

SPEC = """\
name: {name}
type: Dataset
owner: {owner}@example.com
team: "@{team}"
description: {description}
query_statement: insert into {name} select current_date as day
schedule:
  cron: "{cron}"
  timezone: {timezone}
"""


@dataclass(frozen=True)
class Row:
    """A spec, and what has become of its last run."""

    source: Literal["code", "manual"]
    name: str
    owner: str
    team: str
    description: str
    cron: str
    timezone: str = "Asia/Seoul"
    last_run: Literal["success", "failed", "running", ""] = "success"
    paused: bool = False

    @property
    def yaml(self) -> bytes:
        """The spec."""
        return SPEC.format(**vars(self)).encode()


ROWS = [
    Row("manual", "iceberg.analytics.daily_clicks", "lee", "analytics", "Clicks of one day, by page.", "0 8 * * *", last_run=""),
    Row("code", "growth.trial_signups", "dana", "growth", "Sign-ups of one hour, by campaign.", "15 * * * *", "Europe/Berlin"),
    Row("code", "iceberg.analytics.daily_clicks", "kim", "analytics", "Clicks of one day, by page.", "0 9 * * *"),
    Row("code", "iceberg.analytics.user_metrics", "kim", "analytics", "Active users of one day.", "0 10 * * *", paused=True),
    Row("code", "ops.delivery_times", "dana", "ops", "Hours from order to door, by city.", "0 2 * * *", "Asia/Soul", ""),
    Row("manual", "reports.ad_hoc_summary", "lee", "analytics", "Figures for the Monday meeting.", "0 7 * * 1"),
    Row("code", "sales.orders", "park", "sales", "Orders and revenue, by product.", "*/20 * * * *", last_run="running"),
    Row("code", "sales.weekly_summary", "park", "sales", "Revenue of one week, by region.", "30 6 * * 1", last_run="failed"),
]  # fmt: skip


def main() -> None:
    """Serve the page, and take the picture."""
    store = MemoryStore()
    now = datetime.now(UTC)
    past = ManualClock(now - timedelta(days=8))
    airflow = MemoryAirflow(now=past.now)
    write(store, ROWS)
    MemoryDags(airflow, store, lambda: now).refresh()
    runs = [(previous_tick(row.cron, row.timezone, now), row) for row in ROWS if row.last_run]
    for due, row in sorted(runs, key=itemgetter(0)):
        past.advance((due - past.now()).total_seconds())
        run(airflow, past, row, due)
    services = build_services(store, airflow, SystemClock())
    with served(create_app(services, pages=router)) as address:
        take(address)


def write(store: Store, rows: Iterable[Row]) -> None:
    """Write the specs, as ``register`` and CI/CD do."""
    for row in rows:
        key = manual_key(row.name) if row.source == "manual" else f"code/{row.name}.yaml"
        write_release(store, key, Release(row.yaml, {}))


def run(airflow: MemoryAirflow, past: ManualClock, row: Row, due: datetime) -> None:
    """Let a row's last run happen, each attempt of it for half a minute."""
    run_id = f"scheduled__{due:%Y-%m-%dT%H:%M:%S+00:00}"
    airflow.set_paused(row.name, paused=row.paused)
    airflow.schedule(row.name, run_id, (due, due))
    while row.last_run and not _is_as_wanted(airflow, row, run_id):
        airflow.start(row.name, run_id, source=row.source, spec_hash="")
        if row.last_run != "running":
            past.advance(SECONDS_OF_AN_ATTEMPT)
            airflow.end(row.name, run_id, row.last_run)


def _is_as_wanted(airflow: MemoryAirflow, row: Row, run_id: str) -> bool:
    found = airflow.get_run(row.name, run_id)
    return found is not None and found.state == row.last_run


def take(address: str) -> None:
    """Take the picture with Chromium."""
    with tempfile.TemporaryDirectory(prefix="dli-picture-") as profile:
        subprocess.run(
            [
                "chromium",
                "--headless",
                "--no-sandbox",
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                f"--window-size={SIZE}",
                f"--force-device-scale-factor={PIXELS_PER_POINT}",
                f"--screenshot={PICTURE}",
                address,
            ],
            check=True,
            timeout=120,
        )


if __name__ == "__main__":
    main()
