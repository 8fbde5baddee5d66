"""The examples of docs/unit-tests.md, run as they are written there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from unit.dli.documented import sessions

if TYPE_CHECKING:
    from unit.dli.conftest import Dli

PAGE = Path(__file__).parents[4] / "docs" / "unit-tests.md"
YAML = re.compile(r"^```yaml\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = re.compile(r"\([0-9.]+ s\)")


def blocks() -> list[str]:
    return [found["text"] for found in YAML.finditer(PAGE.read_text())]


@pytest.mark.rule("41.10")
def test_the_first_example_passes_and_a_mistake_in_it_is_shown_as_written(dli: Dli, project: Path) -> None:
    passed, failed, *_ = sessions(PAGE)
    spec = project / "datasets" / "dataset.shop.daily_sales.yaml"
    spec.write_text(blocks()[0])
    result = dli(*passed.command.split()[1:])
    assert result.out + SECONDS.sub("(0.03 s)", result.err) == passed.output
    text = blocks()[0].replace("sum(amount)", "max(amount)")
    spec.write_text(text.replace("  where order_day = date '{{ execution_date }}'\n", ""))
    result = dli(*failed.command.split()[1:])
    assert result.out + SECONDS.sub("(0.03 s)", result.err) == failed.output


@pytest.mark.rule("41.7")
def test_the_example_of_an_incremental_dataset_passes(dli: Dli, project: Path) -> None:
    (example,) = (block for block in blocks() if "first_run" in block)
    head = "name: shop.incremental\ntype: Dataset\nowner: ann@example.com\n"
    (project / "datasets" / "incremental.yaml").write_text(head + example)
    result = dli("dataset", "test")
    assert (result.status, result.out.count("PASSED")) == (0, 2)
