from __future__ import annotations

import json

import pytest

from dli_airflow.mirror.dataset import Dataset
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


def test_a_version_differs_by_content_and_source() -> None:
    [one] = datasets("x", query="select 1")
    [two] = datasets("x", query="select 2")
    code = Dataset.of(catalog_of({"code/x.yaml": spec_yaml("x")}).effective["x"])
    assert len({one.version, two.version, code.version}) == 3


def test_a_spec_that_can_not_be_used_is_no_dataset() -> None:
    [broken] = catalog_of({"manual/x.yaml": b"name: x\ntype: Dataset\n"}).invalid
    with pytest.raises(ValueError, match=r"manual/x\.yaml"):
        Dataset.of(broken)
