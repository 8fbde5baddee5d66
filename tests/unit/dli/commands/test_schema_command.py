from __future__ import annotations

from pathlib import Path

import pytest

from dataspec.spec.json_schema import schema_text
from unit.dli.conftest import Dli


@pytest.mark.rule("22.24")
def test_the_schema_is_printed_or_written_to_a_file(dli: Dli, project: Path) -> None:
    printed = dli("dataset", "schema")
    assert (printed.status, printed.out, printed.err) == (0, schema_text(), "")
    written = dli("dataset", "schema", "-o", "dataset.schema.json")
    assert (written.status, written.out, written.err) == (0, "", "Written: dataset.schema.json\n")
    assert (project / "dataset.schema.json").read_text() == schema_text()


def test_a_file_that_cannot_be_written_is_told(dli: Dli) -> None:
    result = dli("dataset", "schema", "-o", "missing/schema.json")
    assert result.status == 2
    assert "missing/schema.json: No such file or directory." in result.err
