"""What the page's form makes of parameters."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from httpx import Response

from basecamp.runs.history import HistoryFilter
from parameter_cases import CASES, DATE, Case
from unit.basecamp.web.conftest import Page, World

SPEC = "name: sales.daily\ntype: Dataset\nowner: a@example.com\nquery_statement: select 1\n"
TYPED = [case for case in CASES if case.is_text and all(text.strip() for text in case.given.values())]
"""An empty field gives no parameter, and so the default."""


@pytest.mark.rule("8.1")
@pytest.mark.parametrize("case", TYPED, ids=lambda case: case.id)
def test_the_page_gives_a_run_its_parameters_or_refuses_them(
    case: Case, world: World, page_of: Callable[[Response], Page]
) -> None:
    world.put("manual/sales.daily.yaml", SPEC + case.declaration())
    fields = {f"p.{name}": value for name, value in (DATE | case.given).items()}
    answer = world.post("/workflows/sales.daily/runs", fields)
    runs = world.services.run_history.page(HistoryFilter()).items
    if case.title is not None:
        page = page_of(answer)
        [problem] = page.all("div", role="alert")
        assert problem.text == " ".join(f"{case.title} {case.detail or ''}".split())
        assert not runs
        return
    assert answer.status_code == 303
    assert [run.parameters for run in runs] == [DATE | {"x": case.value}]
