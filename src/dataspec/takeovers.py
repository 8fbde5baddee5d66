"""What Airflow's machines tell Basecamp of another DAG that has a dataset's id: the text of an import error."""

from __future__ import annotations

import re

_TEXT = "The dataset '{name}' has no DAG in Airflow: another DAG has its id, in {place}."
_NEXT = "Rename that DAG, or give the dataset another name."
_READ = re.compile(
    r"The dataset '(?P<name>[^'\n]+)' has no DAG in Airflow: another DAG has its id, in (?P<place>[^\n]+)\.$",
    re.MULTILINE,
)


def place_of(file: str, bundle: str | None) -> str:
    """Return where a DAG comes from, in words; Airflow 2 has no bundles."""
    return f"{file} in the bundle '{bundle}'" if bundle else file


def write_takeover(name: str, place: str) -> str:
    """Return the text of the import error for a dataset whose id the DAG at a place has."""
    return f"{_TEXT.format(name=name, place=place)}\n{_NEXT}"


def read_takeovers(text: str) -> dict[str, str]:
    """Return the place of each other DAG that an import error speaks of, by dataset."""
    return {match["name"]: match["place"] for match in _READ.finditer(text)}
