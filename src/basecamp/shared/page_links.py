"""Addresses of Basecamp's pages: the page links with them, and so do notifications."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import quote, urlencode

from dataspec.models import WorkflowRun
from dataspec.schedule.run_ids import parse_run_id


@dataclass(frozen=True, slots=True)
class Links:
    """Builds addresses; query parameters without a value are left out.

    Attributes:
        root: The path that a proxy serves Basecamp under; empty for none.
    """

    root: str = ""

    def datasets(self, **query: object) -> str:
        """Return the list of datasets, filtered."""
        return self._address("/", query)

    def dataset(self, name: str, **query: object) -> str:
        """Return a dataset's page."""
        return self._address(f"/workflows/{_part(name)}", query)

    def runs(self, **query: object) -> str:
        """Return the history, filtered."""
        return self._address("/runs", query)

    def run(self, run: WorkflowRun, **query: object) -> str:
        """Return a run's page."""
        return self.run_id(run.run_id, run.dataset_name, **query)

    def run_id(self, run_id: str, dataset: str | None, **query: object) -> str:
        """Return the page of a run; the query names the dataset if the id does not."""
        return self._address(f"/runs/{_part(run_id)}", {**_dataset(run_id, dataset), **query})

    def stop(self, run: WorkflowRun) -> str:
        """Return the address of a run's stop form."""
        return self._address(f"/runs/{_part(run.run_id)}/stop", _dataset(run.run_id, run.dataset_name))

    def backfill(self, backfill_id: str) -> str:
        """Return a backfill's page."""
        return self._address(f"/backfills/{_part(backfill_id)}", {})

    def backfill_of(self, run: WorkflowRun) -> str | None:
        """Return the page of the backfill that started a run, if any."""
        parsed = parse_run_id(run.run_id) if run.run_type == "backfill" else None
        if parsed is None or parsed.backfill_date is None:
            return None
        return self.backfill(str(replace(parsed, backfill_date=None)))

    def stop_backfill(self, backfill_id: str) -> str:
        """Return the address of a backfill's stop form."""
        return self._address(f"/backfills/{_part(backfill_id)}/stop", {})

    def action(self, name: str, action: str) -> str:
        """Return the address of a dataset's form: ``runs``, ``pause`` or ``unpause``."""
        return self._address(f"/workflows/{_part(name)}/{action}", {})

    def api(self) -> str:
        """Return the description of the HTTP API."""
        return self._address("/docs", {})

    def _address(self, path: str, query: dict[str, object]) -> str:
        given = {name: str(value) for name, value in query.items() if value not in (None, "")}
        return self.root + path + (f"?{urlencode(given)}" if given else "")


def _part(text: str) -> str:
    return quote(text, safe="")


def _dataset(run_id: str, dataset: str | None) -> dict[str, object]:
    parsed = parse_run_id(run_id)
    return {} if parsed and parsed.dataset == dataset else {"dataset": dataset}
