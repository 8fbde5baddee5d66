"""What Airflow's machines tell Basecamp of another DAG that has a dataset's id: the text of an import error."""

from __future__ import annotations

import re

_TEXT = "The dataset '{name}' has no DAG in Airflow: another DAG has its id, in the file {file}."
_NEXT = "Rename that DAG, or give the dataset another name."
_READ = re.compile(
    r"The dataset '(?P<name>[^'\n]+)' has no DAG in Airflow: another DAG has its id, in the file (?P<file>[^\n]+)\.$",
    re.MULTILINE,
)


def write_takeover(name: str, file: str) -> str:
    """Return the text of the import error for a dataset whose id the DAG of a file has."""
    return f"{_TEXT.format(name=name, file=file)}\n{_NEXT}"


def read_takeovers(text: str) -> dict[str, str]:
    """Return the file of each other DAG that an import error speaks of, by dataset."""
    return {match["name"]: match["file"] for match in _READ.finditer(text)}
