from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from dli_airflow.mirror.dataset import Dataset, UpstreamFacts
from dli_airflow.mirror.store_mirror import datasets_with_dag
from unit.dli_airflow.catalogs import catalog_of, datasets, spec_yaml

FULL = """\
team: "@data"
tags: [a, b]
parameters:
  - {name: limit, type: integer, default: 5, choices: [5, 6]}
schedule:
  cron: 0 9 * * *
  timezone: Asia/Seoul
  retry: {max_attempts: 2, delay_seconds: 30}
  notifications:
    on_failure: [{type: slack, channel: "#x"}]
"""


def test_a_dataset_comes_back_from_json_as_it_went() -> None:
    [dataset] = datasets("sales.daily", more=FULL)
    assert Dataset.from_json(json.loads(json.dumps(dataset.to_json()))) == dataset


@pytest.mark.rule("31.59")
def test_a_dataset_knows_the_schedules_of_its_upstreams_and_changes_with_them() -> None:
    def downstream(upstream: bytes | None, **ledger: datetime) -> Dataset:
        specs = {"manual/down.yaml": spec_yaml("down", more="depends_on: [up]\n")}
        if upstream:
            specs["manual/up.yaml"] = upstream
        found = datasets_with_dag(catalog_of(specs), ledger.get)
        return next(dataset for dataset in found if dataset.name == "down")

    since = datetime(2024, 1, 1, tzinfo=UTC)
    daily = downstream(spec_yaml("up", more="schedule: {cron: 0 7 * * *, timezone: Asia/Seoul}\n"), up=since)
    facts = daily.upstreams["up"]
    assert (facts.cron, facts.zone, facts.registered_at) == ("0 7 * * *", "Asia/Seoul", since.isoformat())
    assert Dataset.from_json(json.loads(json.dumps(daily.to_json()))) == daily
    others = [
        downstream(None),
        downstream(spec_yaml("up"), up=since),
        downstream(spec_yaml("up", more="schedule: {cron: 0 8 * * *, timezone: Asia/Seoul}\n"), up=since),
        downstream(
            spec_yaml("up", more="schedule: {cron: 0 7 * * *, timezone: Asia/Seoul, catch_up: true}\n")
        ),
    ]
    assert len({daily.version, *(other.version for other in others)}) == 5
    assert [other.upstreams["up"].catches_up for other in others] == [False, False, False, True]
    assert others[0].upstreams["up"] == UpstreamFacts()


def test_a_version_differs_by_content_and_source() -> None:
    [one] = datasets("x", query="select 1")
    [two] = datasets("x", query="select 2")
    code = Dataset.of(catalog_of({"code/x.yaml": spec_yaml("x")}).effective["x"])
    assert len({one.version, two.version, code.version}) == 3


def test_a_spec_that_can_not_be_used_is_no_dataset() -> None:
    [broken] = catalog_of({"manual/x.yaml": b"name: x\ntype: Dataset\n"}).invalid
    with pytest.raises(ValueError, match=r"manual/x\.yaml"):
        Dataset.of(broken)
