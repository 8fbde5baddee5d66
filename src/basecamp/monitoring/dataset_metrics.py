"""Metrics of the datasets: how many there are in which state, and the names of those that need a person."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from basecamp.datasets.dag_cache import unanswered
from basecamp.lateness.late_datasets import LateDatasets
from basecamp.monitoring.observation import Observation
from basecamp.shared.clock import Clock
from basecamp.workflows.rows import Workflows
from dataspec.models import RunStatus, SourceType, WorkflowInfo, WorkflowStatus

MAX_NAMED = 100
"""Maximum number of datasets that are named in one state; the rest is counted."""
NO_RESULT = "none"
RESULTS = (*(status.lower() for status in RunStatus if status.finished), NO_RESULT)


@dataclass(frozen=True, slots=True)
class _Named:
    """The datasets in a state, by the time since when they are in it."""

    since: Mapping[str, datetime]
    """At most :data:`MAX_NAMED`, those that came into it last."""
    unnamed: int

    @classmethod
    def of(cls, found: Mapping[str, datetime]) -> _Named:
        newest = sorted(found, key=lambda name: (found[name], name), reverse=True)[:MAX_NAMED]
        return cls({name: found[name] for name in sorted(newest)}, len(found) - len(newest))


@dataclass(frozen=True, slots=True)
class _Datasets:
    """What is known of all datasets."""

    counts: Mapping[tuple[str, str, str], int]
    """By source, status and last result."""
    waiting: int
    failed: _Named
    late: _Named

    @classmethod
    def of(cls, rows: Sequence[WorkflowInfo], late: Mapping[str, datetime]) -> _Datasets:
        return cls(
            Counter((str(row.source_type), str(row.status), _result(row)) for row in rows),
            sum(row.waiting_run_id is not None for row in rows),
            _Named.of(dict(_failed(rows))),
            _Named.of(late),
        )


class DatasetMetrics(Collector):
    """Shows what was last seen of the datasets; a scrape begins the next look and does not wait for it."""

    def __init__(self, workflows: Workflows, late: LateDatasets, clock: Clock) -> None:
        self._workflows = workflows
        self._late = late
        self._seen: Observation[_Datasets] = Observation("datasets", self._look, clock, unanswered=unanswered)

    def collect(self) -> Iterable[Metric]:
        """Return the metrics; none before the first look has ended."""
        seen = self._seen.latest()
        return () if seen is None else (*_families(seen), self._seen.age_family())

    def _look(self) -> tuple[_Datasets, bool]:
        page = self._workflows.page(limit=sys.maxsize - 1)
        late = self._late.known()
        since = {name: one.shown.since for name, one in late.value.datasets.items()}
        return _Datasets.of(page.items, since), not (page.warnings or late.warnings)


def _families(seen: _Datasets) -> Iterator[Metric]:
    datasets = GaugeMetricFamily(
        "basecamp_datasets",
        "Specs by source, status and the result of the last run that ended.",
        labels=("source", "status", "last_result"),
    )
    for labels in product(SourceType, WorkflowStatus, RESULTS):
        datasets.add_metric(tuple(map(str, labels)), seen.counts.get(labels, 0))
    yield datasets
    yield GaugeMetricFamily(
        "basecamp_datasets_waiting", "Datasets with a run that waits for other datasets.", value=seen.waiting
    )
    yield from _named("failed", "the end of the first failure in a row", seen.failed)
    yield from _named("late", "its oldest late partition", seen.late)


def _named(state: str, meaning: str, found: _Named) -> Iterator[Metric]:
    named = GaugeMetricFamily(
        f"basecamp_dataset_{state}_timestamp_seconds",
        f"Since when the dataset is {state}: {meaning}. The last {MAX_NAMED} are named.",
        labels=("dataset",),
    )
    for name, since in found.since.items():
        named.add_metric((name,), since.timestamp())
    yield named
    yield GaugeMetricFamily(
        f"basecamp_datasets_{state}_unnamed",
        f"Datasets that are {state} beyond the {MAX_NAMED} that are named.",
        value=found.unnamed,
    )


def _result(row: WorkflowInfo) -> str:
    return row.last_result.status.lower() if row.last_result is not None else NO_RESULT


def _failed(rows: Iterable[WorkflowInfo]) -> Iterator[tuple[str, datetime]]:
    for row in rows:
        last = row.last_result
        if last is not None and last.status is RunStatus.FAILED:
            yield row.dataset_name, last.since
