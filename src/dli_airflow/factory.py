"""Build the DAGs of a shard: what Airflow runs when it parses a DAG file.

A parse reads one file of JSON. It parses no YAML, no SQL and no template, and makes no network request.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dataspec.contract import SOURCE_TAG, TASK_ID, WAIT_PREFIX, wait_task_id, write_document_line
from dataspec.schedule.upstream_clock import UPSTREAM
from dataspec.spec.model import Parameter
from dli_airflow.airflow_api import (
    AIRFLOW_VERSION,
    DAG,
    Param,
    check_serializable,
    edges,
    get_parsing_context,
    known_dag_arguments,
)
from dli_airflow.mirror.broken_dags import BrokenDag, BrokenDags
from dli_airflow.mirror.dag_folder import digest_of, read_shard
from dli_airflow.mirror.dataset import Dataset
from dli_airflow.operator import DatasetOperator
from dli_airflow.timetable import DatasetTimetable
from dli_airflow.waiting.operator import WaitOperator

log = logging.getLogger(__name__)

MAX_ACTIVE_RUNS = 1000
MAX_TAG_LENGTH = 100
"""Airflow refuses a DAG with a longer tag."""

_START_DATE = datetime(2000, 1, 1, tzinfo=UTC)
"""Earlier than any run; the timetable knows when the dataset was registered."""

_JSON_TYPES = {
    "integer": "integer",
    "float": "number",
    "boolean": "boolean",
    "list": "array",
}
_ANY_TYPE = ("string", "integer", "number", "boolean", "array", "object", "null")


def load(file: str, *, base_url: str | None = None, store: str = "") -> dict[str, DAG]:
    """Return the DAGs of a shard by id, for the globals of the shard's module.

    In a worker, which needs one DAG, only that one is built. A dataset whose DAG can't be built or stored is
    logged and noted for the next refresh, which makes an import error of it; the other DAGs load.

    Args:
        file: The path of the shard's ``.py``.
        base_url: Basecamp's address, for links.
        store: Identifies the store, for the sessions of runs on their engines.
    """
    code = Path(file)
    context = get_parsing_context()
    if context.dag_id is not None:
        return _built(code, base_url, store, wanted=context.dag_id, task_id=context.task_id)[0]
    notes, version = BrokenDags(code.parent), f"{digest_of(code)} {AIRFLOW_VERSION}"
    dags, broken = _built(code, base_url, store, check=not notes.is_sound(code.name, version))
    notes.keep(code.name, version, broken)
    return dags


def _built(
    code: Path,
    base_url: str | None,
    store: str,
    *,
    wanted: str | None = None,
    task_id: str | None = None,
    check: bool = False,
) -> tuple[dict[str, DAG], list[BrokenDag]]:
    dags, broken = {}, []
    for data in read_shard(code, wanted):
        name = str(data["name"])
        try:
            turns = code.parent.parent / "turns"
            dag = build_dag(
                Dataset.from_json(data), base_url=base_url, turns=turns, store=store, task_id=task_id
            )
            if check:
                check_serializable(dag)
        except Exception as error:
            log.exception("The DAG of %s can't be built", name)
            broken.append(BrokenDag(name, str(data["spec_hash"]), f"{type(error).__name__}: {error}"))
        else:
            dags[name] = dag
    return dags, broken


def build_dag(
    dataset: Dataset, *, base_url: str | None, turns: Path, store: str = "", task_id: str | None = None
) -> DAG:
    """Return the DAG of one dataset (``docs/architecture.md``, "A dataset in Airflow").

    Args:
        dataset: The dataset.
        base_url: Basecamp's address, for links.
        turns: The folder of the locks of :class:`DatasetOperator`.
        store: Identifies the store, for the sessions of runs on their engines.
        task_id: The task that a worker starts. What it waits for may have changed since it was queued: then the
            task of that id waits for what is needed now.
    """
    spec = dataset.spec
    dag = DAG(
        dag_id=dataset.name,
        description=spec.description,
        schedule=_timetable(dataset),
        start_date=_START_DATE,
        catchup=False,
        is_paused_upon_creation=False,
        max_active_runs=MAX_ACTIVE_RUNS,
        max_consecutive_failed_dag_runs=0,
        params={parameter.name: _param(parameter) for parameter in spec.parameters},
        tags=_tags(dataset),
        doc_md=_document(dataset, base_url),
        **known_dag_arguments(disable_bundle_versioning=True, rerun_with_latest_version=True),
    )
    run = DatasetOperator(
        task_id=TASK_ID,
        dag=dag,
        dataset=dataset,
        turns=turns,
        store=store,
        owner=spec.owner,
        retries=spec.retry.max_attempts,
        retry_delay=timedelta(seconds=spec.retry.delay_seconds),
        execution_timeout=timedelta(seconds=spec.execution.timeout_seconds),
        max_active_tis_per_dag=1,
        **edges(dataset.name, spec.upstream),
    )
    if wait_id := _wait_id(dataset, task_id):
        WaitOperator(task_id=wait_id, dag=dag, dataset=dataset, owner=spec.owner, retries=0) >> run
    return dag


def _wait_id(dataset: Dataset, started: str | None) -> str | None:
    """Return the id of the task that waits; None for a dataset that needs none."""
    if started is not None and started.startswith(WAIT_PREFIX):
        return started
    clocks = (f"{name} {facts.clock}" for name, facts in dataset.upstreams.items())
    return wait_task_id(dataset.spec, clocks) if dataset.spec.depends_on else None


def _timetable(dataset: Dataset) -> DatasetTimetable | None:
    schedule = dataset.spec.schedule
    if schedule is None or schedule.clock is None or not schedule.enabled or dataset.retired:
        return None
    return DatasetTimetable(dataset.name, *schedule.clock, dataset.registered_at, catch_up=schedule.catch_up)


def _param(parameter: Parameter) -> Any:
    """Return a parameter for Airflow's form, with a schema that accepts any value.

    The operator checks values, with the same messages as the CLI. In Airflow's schema, a required parameter
    without a default or a value of another type would keep the DAG from being scheduled, or an attempt from
    starting. The form shows the first type.
    """
    first = _JSON_TYPES.get(parameter.type, "string")
    examples = {"examples": parameter.choices} if parameter.choices else {}
    return Param(
        parameter.default,
        description=_described(parameter),
        type=[first, *(name for name in _ANY_TYPE if name != first)],
        **examples,
    )


def _described(parameter: Parameter) -> str:
    facts = [parameter.type, "required" if parameter.must_be_given else "optional"]
    if parameter.choices:
        facts.append(f"one of {', '.join(map(str, parameter.choices))}")
    return " ".join(filter(None, (parameter.description, f"({'; '.join(facts)})")))


def _tags(dataset: Dataset) -> list[str]:
    spec = dataset.spec
    team = [f"team:{spec.team}"] if spec.team else []
    tags = [f"{SOURCE_TAG}{dataset.source}", *team, f"owner:{spec.owner}", *spec.tags]
    return sorted({tag[:MAX_TAG_LENGTH] for tag in tags if tag})


def _document(dataset: Dataset, base_url: str | None) -> str:
    """Return the DAG's documentation; its last line tells Basecamp which version Airflow has loaded."""
    spec = dataset.spec
    rows = {
        "Owner": spec.owner,
        "Team": spec.team,
        "Schedule": _schedule_words(dataset),
        "Connection": spec.execution.connection,
        "Depends on": ", ".join(spec.need_labels),
        "Spec": f"`{dataset.key}`",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items() if value)
    parts = [
        spec.description,
        f"| | |\n| --- | --- |\n{table}",
        base_url and f"[{dataset.name} in Basecamp]({base_url.rstrip('/')}/workflows/{quote(dataset.name)})",
        write_document_line(dataset.spec_hash, dataset.source, dataset.key),
    ]
    return "\n\n".join(part for part in parts if part)


def _schedule_words(dataset: Dataset) -> str:
    schedule = dataset.spec.schedule
    if schedule is None:
        return "none"
    if schedule.clock is None:
        return f"`{schedule.cron}` (off: {dataset.no_clock})"
    off = "" if schedule.enabled else " (off: schedule.enabled is false)"
    if dataset.retired:
        off = " (off: the dataset was removed; this DAG goes when its runs have ended)"
    followed = f" by `{UPSTREAM}`" if schedule.follows_upstream else ""
    return f"`{schedule.cron}` {schedule.timezone}{followed}{off}"
