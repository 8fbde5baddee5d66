"""URLs of the pages, for the web interface and for notifications."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote, urlencode, urlsplit

from dataspec.models import WorkflowRun
from dataspec.schedule.run_ids import parse_run_id

MAX_TARGET_LENGTH = 1000


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
        return self.backfill(run.backfill_id) if run.backfill_id else None

    def stop_backfill(self, backfill_id: str) -> str:
        """Return the URL that stops a backfill."""
        return self._address(f"/backfills/{_part(backfill_id)}/stop", {})

    def action(self, name: str, action: str) -> str:
        """Return the URL of an action on a dataset: ``runs``, ``pause`` or ``unpause``."""
        return self._address(f"/workflows/{_part(name)}/{action}", {})

    def audit(self, **query: object) -> str:
        """Return the URL of the audit log, with its filters."""
        return self._address("/audit", query)

    def device(self, **query: object) -> str:
        """Return the URL of the page that confirms a sign-in of the command line."""
        return self._address("/device", query)

    def sign_in(self, **query: object) -> str:
        """Return the URL of the page that offers the ways to sign in."""
        return self._address("/sign-in", query)

    def sign_in_at_provider(self, **query: object) -> str:
        """Return the URL that sends the browser to a provider."""
        return self._address("/sign-in/provider", query)

    def sign_in_callback(self) -> str:
        """Return the URL to which a provider sends the browser back."""
        return self._address("/sign-in/callback", {})

    def sign_in_with_token(self) -> str:
        """Return the URL that takes an API token."""
        return self._address("/sign-in/token", {})

    def sign_out(self) -> str:
        """Return the URL that ends the session."""
        return self._address("/sign-out", {})

    def api(self) -> str:
        """Return the URL of the API's documentation."""
        return self._address("/docs", {})

    def own_target(self, target: str) -> str:
        """Return the target of a redirect if it is a page of this server, else the URL of the datasets.

        A browser takes two slashes, or a slash and a backslash, for another host; it leaves control characters out
        before it reads an address, and leaves a proxy's prefix by ``..``.
        """
        path = urlsplit(target).path if _is_plain_path(target) else ""
        inside = path.startswith(f"{self.root}/") and not path.startswith(f"{self.root}/sign-")
        return target if inside else self.datasets()

    def _address(self, path: str, query: dict[str, object]) -> str:
        given = {name: str(value) for name, value in query.items() if value not in (None, "")}
        return self.root + path + (f"?{urlencode(given)}" if given else "")


def _is_plain_path(target: str) -> bool:
    if not target.startswith("/") or target.startswith("//") or len(target) > MAX_TARGET_LENGTH:
        return False
    if "\\" in target or not target.isascii() or not target.isprintable():
        return False
    return {".", ".."}.isdisjoint(unquote(target.partition("?")[0]).split("/"))


def _part(text: str) -> str:
    return quote(text, safe="")


def _dataset(run_id: str, dataset: str | None) -> dict[str, object]:
    parsed = parse_run_id(run_id)
    return {} if parsed and parsed.dataset == dataset else {"dataset": dataset}
