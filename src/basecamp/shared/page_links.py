"""URLs of the pages, for the web interface and for notifications."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import quote, urlencode

from dataspec.models import WorkflowRun
from dataspec.schedule.run_ids import parse_run_id


@dataclass(frozen=True, slots=True)
class Links:
    """Builds URLs; omits query parameters without a value.

    Attributes:
        root: Path prefix under which a proxy serves Basecamp; may be empty.
    """

    root: str = ""

    def datasets(self, **query: object) -> str:
        """Return the URL of the list of datasets, with its filters."""
        return self._address("/", query)

    def dataset(self, name: str, **query: object) -> str:
        """Return the URL of a dataset."""
        return self._address(f"/workflows/{_part(name)}", query)

    def runs(self, **query: object) -> str:
        """Return the URL of the run history, with its filters."""
        return self._address("/runs", query)

    def run(self, run: WorkflowRun, **query: object) -> str:
        """Return the URL of a run."""
        return self.run_id(run.run_id, run.dataset_name, **query)

    def run_id(self, run_id: str, dataset: str | None, **query: object) -> str:
        """Return the URL of a run id; names the dataset if it is known and not part of the id."""
        return self._address(f"/runs/{_part(run_id)}", {**_dataset(run_id, dataset), **query})

    def stop(self, run: WorkflowRun) -> str:
        """Return the URL that stops a run."""
        return self._address(f"/runs/{_part(run.run_id)}/stop", _dataset(run.run_id, run.dataset_name))

    def backfill(self, backfill_id: str) -> str:
        """Return the URL of a backfill."""
        return self._address(f"/backfills/{_part(backfill_id)}", {})

    def backfill_of(self, run: WorkflowRun) -> str | None:
        """Return the URL of the backfill that started a run; None if none of ours did."""
        parsed = parse_run_id(run.run_id) if run.run_type == "backfill" else None
        if parsed is None or parsed.backfill_date is None:
            return None
        return self.backfill(str(replace(parsed, backfill_date=None)))

    def stop_backfill(self, backfill_id: str) -> str:
        """Return the URL that stops a backfill."""
        return self._address(f"/backfills/{_part(backfill_id)}/stop", {})

    def action(self, name: str, action: str) -> str:
        """Return the URL of an action on a dataset: ``runs``, ``pause`` or ``unpause``."""
        return self._address(f"/workflows/{_part(name)}/{action}", {})

    def api(self) -> str:
        """Return the URL of the API's documentation."""
        return self._address("/docs", {})

    def _address(self, path: str, query: dict[str, object]) -> str:
        given = {name: str(value) for name, value in query.items() if value not in (None, "")}
        return self.root + path + (f"?{urlencode(given)}" if given else "")


def _part(text: str) -> str:
    return quote(text, safe="")


def _dataset(run_id: str, dataset: str | None) -> dict[str, object]:
    parsed = parse_run_id(run_id)
    return {} if parsed and parsed.dataset == dataset else {"dataset": dataset}
