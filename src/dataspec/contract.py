"""Define the contract between Basecamp and Airflow's machines: ids, keys, texts, and the partition of a run.

``dli_airflow`` writes these into Airflow, and ``basecamp`` reads them through Airflow's REST API.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dataspec.models import CheckResult
from dataspec.spec.full_refresh import FullRefresh
from dataspec.spec.run_values import RunValues, resolve_run
from dataspec.tracing import HEADER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from dataspec.schedule.cron import Interval
    from dataspec.spec.model import DatasetSpec

TASK_ID: Final = "run"
"""The task of a dataset's DAG that builds; without ``depends_on`` the only one."""
WAIT_PREFIX: Final = "wait_"
"""Prefix of the id of the task that waits, in the DAG of a dataset with ``depends_on``."""
WAIT_ERROR_KEY: Final = "dli.waiting"
"""The key of the XCom in which that task leaves why the run can't start."""
CHECKS_KEY: Final = "dli.checks"
"""The key of the XCom in which an attempt leaves what its checks found, by :func:`write_check_results`."""
OPERATOR: Final = "DatasetOperator"
"""The operator class of that task; Airflow stores the operators of each run."""
SOURCE_TAG: Final = "source:"
"""Prefix of the DAG tag that names the source of its spec."""

CONF_KEY: Final = "_dli"
"""Basecamp's own key in a run's conf; every other key is a parameter."""
WAIT_KEY: Final = "wait_for_upstream"
"""The key below :data:`CONF_KEY` that lets an adhoc or backfilled run wait as a scheduled one does."""
ADOPT_KEY: Final = "adopt"
"""The key below :data:`CONF_KEY` of a run that takes over a table that its dataset has not built."""
CHECKS_ONLY_KEY: Final = "checks_only"
"""The key below :data:`CONF_KEY` of a run that checks the rows of the table, and builds nothing."""
REQUEST_KEY: Final = "request_id"
"""The key below :data:`CONF_KEY` with the id of the request that started the run."""
REFRESH_KEY: Final = "full_refresh"
"""The key below :data:`CONF_KEY` of a run that builds a table anew: true, or its part in the full refresh."""
SCHEDULED: Final = "scheduled"
"""Airflow's type of a run that its scheduler created."""
TIMETABLE_RUN_TYPES: Final = frozenset({SCHEDULED, "backfill"})
"""Airflow's types of runs that the timetable makes; their data interval determines their partition."""

BUILT_BEACON: Final = "dli.built"
"""Airflow's Variable that changes whenever a dataset's Variable of what was built has changed."""
BUILT_PREFIX: Final = "dli.built."
"""Prefix of a dataset's Variable of what was built: :class:`dataspec.schedule.built.Built` as text."""

_HASH_LENGTH = 32

VERSION_KEY_PREFIX: Final = "dli."
_VERSION_KEY = re.compile(r"dli\.(?P<source>[a-z]+)\.(?P<hash>[0-9a-f]+)\.(?P<try>\d+)")
_ROWS_KEY = re.compile(r"dli\.rows-(?P<rows>\d+)\.(?P<try>\d+)")
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
    """The spec version that an attempt of a run executed."""

    source: str
    spec_hash: str
    try_number: int


class LoadedSpec(NamedTuple):
    """The spec version of a DAG in Airflow, and the spec's key in the store."""

    spec_hash: str
    source: str
    key: str


def write_check_results(results: Iterable[CheckResult]) -> str:
    """Return what checks found as text."""
    return json.dumps([asdict(result) for result in results])


def read_check_results(text: str) -> list[CheckResult]:
    """Return what checks found, without fields that another version has written; none for other text."""
    names = [field.name for field in fields(CheckResult)]
    try:
        return [CheckResult(**{name: row[name] for name in names}) for row in json.loads(text)]
    except (KeyError, TypeError, ValueError):
        return []


def is_dataset_task(task_id: str) -> bool:
    """Return whether a task is one of a dataset's DAG."""
    return task_id == TASK_ID or task_id.startswith(WAIT_PREFIX)


def waits(conf: Mapping[str, Any], *, run_type: str) -> bool:
    """Return whether a run waits for the upstreams of its dataset.

    Args:
        conf: The run's conf.
        run_type: Airflow's type of the run.
    """
    own = conf.get(CONF_KEY)
    return run_type == SCHEDULED or (isinstance(own, dict) and own.get(WAIT_KEY) is True)


def adopts(conf: Mapping[str, Any]) -> bool:
    """Return whether a run takes over a table that its dataset has not built."""
    own = conf.get(CONF_KEY)
    return isinstance(own, dict) and own.get(ADOPT_KEY) is True


def checks_only(conf: Mapping[str, Any]) -> bool:
    """Return whether a run checks the rows of the table alone: it builds nothing."""
    own = conf.get(CONF_KEY)
    return isinstance(own, dict) and own.get(CHECKS_ONLY_KEY) is True


def request_of(conf: Mapping[str, Any]) -> str | None:
    """Return the id of the request that started a run; None where Basecamp's API did not."""
    own = conf.get(CONF_KEY)
    found = own.get(REQUEST_KEY) if isinstance(own, dict) else None
    return found if isinstance(found, str) else None


def write_full_refresh(refresh: FullRefresh) -> bool | dict[str, Any]:
    """Return the part of a run in a full refresh, as a run's conf has it under :data:`REFRESH_KEY`."""
    return True if refresh.backfill is None else refresh._asdict()


def full_refresh_of(conf: Mapping[str, Any]) -> FullRefresh | None:
    """Return the part of a run in a full refresh; None for any other run.

    A value that is not understood means a run that builds the table alone, which an incremental dataset refuses.
    """
    own = conf.get(CONF_KEY)
    given = own.get(REFRESH_KEY) if isinstance(own, dict) else None
    if not given:
        return None
    match given:
        case {"backfill": str(backfill), "begins": bool(begins), "ends": bool(ends)}:
            return FullRefresh(backfill, begins=begins, ends=ends)
    return FullRefresh()


def trace_of(conf: Mapping[str, Any]) -> str | None:
    """Return the ``traceparent`` of the request that started a run; None where none was traced."""
    own = conf.get(CONF_KEY)
    found = own.get(HEADER) if isinstance(own, dict) else None
    return found if isinstance(found, str) else None


def write_version_key(source: str, spec_hash: str, try_number: int) -> str:
    """Return the key of an attempt's first XCom, which contains the version: lists of XComs have no values."""
    return f"{VERSION_KEY_PREFIX}{source}.{spec_hash}.{try_number}"


def read_version_key(key: str) -> AttemptVersion | None:
    """Return the version in an XCom's key; None for any other key."""
    match = _VERSION_KEY.fullmatch(key)
    return AttemptVersion(match["source"], match["hash"], int(match["try"])) if match else None


def write_rows_key(rows: int, try_number: int) -> str:
    """Return the key of the XCom in which an attempt leaves how many rows its query has written."""
    return f"{VERSION_KEY_PREFIX}rows-{rows}.{try_number}"


def read_rows_key(key: str) -> tuple[int, int] | None:
    """Return the number of rows, and that of the attempt, in an XCom's key; None for any other key."""
    match = _ROWS_KEY.fullmatch(key)
    return (int(match["rows"]), int(match["try"])) if match else None


def write_document_line(spec_hash: str, source: str, key: str) -> str:
    """Return the last line of a DAG's documentation, which names the spec version of the DAG."""
    return f"spec {spec_hash} · {source} · {key}"


def read_document_line(doc_md: str | None) -> LoadedSpec | None:
    """Return the version in the last line of a DAG's documentation; None for any other DAG."""
    last = (doc_md or "").strip().rsplit("\n", 1)[-1].strip()
    match = _DOCUMENT_LINE.fullmatch(last)
    return LoadedSpec(match["hash"], match["source"], match["key"]) if match else None


def built_variable(dataset: str) -> str:
    """Return the key of Airflow's Variable that holds what a dataset has built.

    It has a hash of the name: Airflow's API hides the value of a Variable whose key has a word such as "token".
    """
    return f"{BUILT_PREFIX}{hashlib.sha256(dataset.encode()).hexdigest()[:_HASH_LENGTH]}"


def built_description(dataset: str) -> str:
    """Return the description of that Variable, which names the dataset on Airflow's page."""
    return f"What the dataset '{dataset}' has built"


def wait_task_id(spec: DatasetSpec, upstream_clocks: Iterable[str] = ()) -> str:
    """Return the id of the task in which the runs of a spec with ``depends_on`` wait.

    It has a hash of what they wait for, and for how long: a change gives the waiting runs another task, which works
    out anew what is missing.

    Args:
        spec: The spec.
        upstream_clocks: The schedules of its upstreams, as text: another schedule has other partitions.
    """
    entries = [
        {**need.model_dump(mode="json", exclude_none=True), "timeout_seconds": spec.wait_seconds(need)}
        for need in spec.needs
    ]
    text = "\n".join(sorted([*(json.dumps(entry, sort_keys=True) for entry in entries), *upstream_clocks]))
    return f"{WAIT_PREFIX}{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def write_shard_file(number: int) -> str:
    """Return the name of the DAG file of a shard; :data:`FOLDER_PREFIX` precedes it in a DAGs folder."""
    return f"{SHARD_PREFIX}{number:03}.py"


def is_shard_file(file: str) -> bool:
    """Return whether a DAG file belongs to the DAG factory: in the bundle, or in the DAGs folder."""
    return _SHARD_FILE.fullmatch(file) is not None


def given_parameters(conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters in a run's conf."""
    return {name: value for name, value in conf.items() if name != CONF_KEY}


def values_of_run(
    spec: DatasetSpec,
    conf: Mapping[str, Any],
    *,
    run_type: str,
    interval: tuple[datetime | None, datetime | None],
) -> RunValues:
    """Return the parameters and the partition of a run; a timetable's run has the partition of its data interval.

    Args:
        spec: The spec of the run.
        conf: The run's conf.
        run_type: Airflow's type of the run.
        interval: The start and end of its data interval, as Airflow stores them.

    Raises:
        InvalidParameters: As :func:`dataspec.spec.run_values.resolve_run`.
    """
    stored = stored_interval(run_type, interval)
    return resolve_run(spec, given_parameters(conf), stored_interval=stored)


def stored_interval(run_type: str, interval: tuple[datetime | None, datetime | None]) -> Interval | None:
    """Return the data interval by which a run of the timetable has its partition; None for any other run."""
    start, end = interval
    return (start, end) if run_type in TIMETABLE_RUN_TYPES and start is not None and end is not None else None


def place_of(file: str, bundle: str | None) -> str:
    """Return the place of a DAG as text; Airflow 2 has no bundles."""
    return f"{file} in the bundle '{bundle}'" if bundle else file


def write_takeover(name: str, place: str) -> str:
    """Return the text of the import error for a dataset whose DAG id another DAG uses.

    Args:
        name: The dataset.
        place: The other DAG's place: :func:`place_of`.
    """
    return f"{_TAKEN_OVER.format(name=name, place=place)}\n{_NEXT_STEP}"


def read_takeovers(text: str) -> dict[str, str]:
    """Return the places of other DAGs in the text of an import error, by dataset."""
    return {match["name"]: match["place"] for match in _TAKEOVER.finditer(text)}
