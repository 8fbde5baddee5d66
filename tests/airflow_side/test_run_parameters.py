"""Parameters of the run itself: one that was triggered on Airflow's own page is checked here alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dli_airflow.airflow_api import AirflowFailException
from dli_airflow.operator import DatasetOperator
from unit.dli_airflow.catalogs import datasets
from unit.parameter_matrix import CASES, Case


@dataclass
class Attempt:
    """What Airflow gives an operator as its task instance."""

    try_number: int = 1

    def xcom_push(self, key: str, value: Any) -> None:
        pass


@dataclass
class Run:
    """What Airflow gives an operator as its run."""

    conf: dict[str, Any]
    run_type: str = "manual"
    run_id: str = "web.clicks_20240116_000001"
    data_interval_start: None = None
    data_interval_end: None = None


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_run_itself_is_as_strict_as_the_server_and_says_the_same(tmp_path: Path, case: Case) -> None:
    more = case.kind.yaml.partition("query_statement: select 1\n")[2]
    [dataset] = datasets("web.clicks", query="select 1", more=more)
    task = DatasetOperator(task_id="run", dataset=dataset, turns=tmp_path / "turns")
    run = Run(conf=dict(case.given))
    if case.expected is not None:
        assert repr(task._parameters(run, None)) == repr(case.expected)
        return
    with pytest.raises(AirflowFailException) as raised:
        task.execute({"ti": Attempt(), "dag_run": run})
    assert str(raised.value).startswith(case.title)
