from __future__ import annotations

from unit.dli.basecamp import Basecamp
from unit.dli.conftest import Dli
from unit.dli.specs import CLICKS, CLICKS_FILES, CLICKS_YAML


def test_run_prints_the_run_id_and_nothing_else(basecamp: Basecamp, dli: Dli) -> None:
    basecamp.put_code(CLICKS, CLICKS_YAML, CLICKS_FILES)
    result = dli("workflow", "run", CLICKS, "-p", "execution_date=2024-01-15")
    assert (result.status, result.out, result.err) == (0, f"Run started: {CLICKS}_20240115_093045\n", "")
