"""Define what Basecamp and Airflow's machines agree on: ids, keys, texts, and which partition a run builds.

``dli_airflow`` writes these into Airflow, ``basecamp`` reads them back by Airflow's REST API.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dataspec.parameters.resolve import EXECUTION_DATE
from dataspec.schedule.next_run import ScheduledRun, data_interval, date_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from dataspec.schedule.cron import Interval
    from dataspec.spec.model import Parameter, ScheduleConfig

TASK_ID: Final = "run"
"""The one task of a dataset's DAG."""
OPERATOR: Final = "DatasetOperator"
"""The class of that task's operator; Airflow keeps with each run which operators it was made with."""
SOURCE_TAG: Final = "source:"
"""What the tag of a DAG begins with that names the source of its spec."""

CONF_KEY: Final = "_dli"
"""The key of a run's conf under which Basecamp writes; every other key is a parameter."""
SCHEDULED: Final = "scheduled"
"""Airflow's type of a run that its scheduler created."""
TIMETABLE_RUN_TYPES: Final = frozenset({SCHEDULED, "backfill"})
"""Airflow's types of runs that the timetable made, so that their data interval names their partition."""

VERSION_KEY_PREFIX: Final = "dli."
_VERSION_KEY = re.compile(r"dli\.(?P<source>[a-z]+)\.(?P<hash>[0-9a-f]+)\.(?P<try>\d+)")
_DOCUMENT_LINE = re.compile(r"spec (?P<hash>[0-9a-f]+) · (?P<source>[a-z]+) · (?P<key>.+)")
SHARD_PREFIX: Final = "shard_"
FOLDER_PREFIX: Final = "dli_"
"""Prefix of the DAG factory's files in the DAGs folder of Airflow 2, where other files may lie beside them."""
_SHARD_FILE = re.compile(rf"(?:.*/)?(?:{FOLDER_PREFIX})?{SHARD_PREFIX}\d{{3,}}\.py", re.DOTALL)

_TAKEN_OVER = "The dataset '{name}' has no DAG in Airflow: another DAG has its id, in {place}."
_NEXT_STEP = "Rename that DAG, or give the dataset another name."
_TAKEOVER = re.compile(
    r"The dataset '(?P<name>[^'\n]+)' has no DAG in Airflow: another DAG has its id, in (?P<place>[^\n]+)\.$",
    re.MULTILINE,
)


class AttemptVersion(NamedTuple):
    """The version of a spec that an attempt of a run ran."""

    source: str
    spec_hash: str
    try_number: int


class LoadedSpec(NamedTuple):
    """The version of a spec that Airflow made a DAG of, and the spec's key in the store."""

    spec_hash: str
    source: str
    key: str


def write_version_key(source: str, spec_hash: str, try_number: int) -> str:
    """Return the key of the XCom that an attempt writes first: lists of XComs give keys but no values."""
    return f"{VERSION_KEY_PREFIX}{source}.{spec_hash}.{try_number}"


def read_version_key(key: str) -> AttemptVersion | None:
    """Return the version that an XCom's key names; None for the key of another XCom."""
    match = _VERSION_KEY.fullmatch(key)
    return AttemptVersion(match["source"], match["hash"], int(match["try"])) if match else None


def write_document_line(spec_hash: str, source: str, key: str) -> str:
    """Return the last line of a DAG's documentation, which tells the version that Airflow has loaded."""
    return f"spec {spec_hash} · {source} · {key}"


def read_document_line(doc_md: str | None) -> LoadedSpec | None:
    """Return the version that a DAG's documentation ends with; None for the DAG of no dataset."""
    last = (doc_md or "").strip().rsplit("\n", 1)[-1].strip()
    match = _DOCUMENT_LINE.fullmatch(last)
    return LoadedSpec(match["hash"], match["source"], match["key"]) if match else None


def write_shard_file(number: int) -> str:
    """Return the name of the DAG file of a shard; :data:`FOLDER_PREFIX` precedes it in a DAGs folder."""
    return f"{SHARD_PREFIX}{number:03}.py"


def is_shard_file(file: str) -> bool:
    """Tell whether a DAG file is one of the DAG factory's: of the bundle, or of the DAGs folder."""
    return _SHARD_FILE.fullmatch(file) is not None


def given_parameters(
    conf: Mapping[str, Any],
    declared: Iterable[Parameter],
    *,
    run_type: str,
    interval_start: datetime | None,
) -> dict[str, Any]:
    """Return the parameters that a run was given; the timetable gives the partition of a run that it made.

    Args:
        conf: The run's conf.
        declared: The parameters of its spec.
        run_type: Airflow's type of the run.
        interval_start: The start of its data interval, as Airflow keeps it.
    """
    given = {name: value for name, value in conf.items() if name != CONF_KEY}
    if (
        run_type in TIMETABLE_RUN_TYPES
        and interval_start is not None
        and EXECUTION_DATE not in given
        and any(parameter.name == EXECUTION_DATE for parameter in declared)
    ):
        given[EXECUTION_DATE] = date_of(interval_start)
    return given


def built_interval(
    schedule: ScheduleConfig | None,
    *,
    run_type: str,
    interval: tuple[datetime | None, datetime | None],
) -> Interval | None:
    """Return the interval of the data that a run builds; None for a run that the timetable did not make.

    Args:
        schedule: The schedule of its spec.
        run_type: Airflow's type of the run.
        interval: The start and end of its data interval, as Airflow keeps them.
    """
    start, end = interval
    if run_type not in TIMETABLE_RUN_TYPES or start is None or end is None:
        return None
    cron, zone = (schedule.cron, schedule.timezone) if schedule else (None, "UTC")
    return data_interval(cron, zone, ScheduledRun.kept((start, end)))


def place_of(file: str, bundle: str | None) -> str:
    """Return where a DAG comes from, in words; Airflow 2 has no bundles."""
    return f"{file} in the bundle '{bundle}'" if bundle else file


def write_takeover(name: str, place: str) -> str:
    """Return the text of the import error for a dataset whose id another DAG has.

    Args:
        name: The dataset.
        place: Where the other DAG comes from: :func:`place_of`.
    """
    return f"{_TAKEN_OVER.format(name=name, place=place)}\n{_NEXT_STEP}"


def read_takeovers(text: str) -> dict[str, str]:
    """Return the place of each other DAG that an import error names, by dataset."""
    return {match["name"]: match["place"] for match in _TAKEOVER.finditer(text)}
