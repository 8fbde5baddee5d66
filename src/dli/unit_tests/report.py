"""Print the results of unit tests: as text, as JSON, or as JUnit XML."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from dli.local.output import plain
from dli.output.tables import aligned, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dli.unit_tests.difference import Difference, Row, RowDifference
    from dli.unit_tests.running import UnitTestResult

MAX_SHOWN = 20
"""Maximum number of rows of a difference in text and JUnit XML; JSON has all."""
_WORDS = {"passed": "PASSED", "failed": "FAILED", "error": "ERROR"}
_WIDTH = max(map(len, _WORDS.values()))
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML can't hold."""


def as_text(result: UnitTestResult) -> str:
    """Return a result as lines: the outcome, and what differs as a table."""
    head = f"{_WORDS[result.status]:<{_WIDTH}}  {result.label}"
    if result.status == "passed":
        return head
    lines = [f"{head} ({_place(result)})", *(f"  {line}" for line in _details(result))]
    return "\n".join(lines)


def summary(results: Sequence[UnitTestResult]) -> str:
    """Return how many tests had each outcome, and how long they took."""
    counts = Counter[str](result.status for result in results)
    words = {"failed": "failed", "error": "with an error", "passed": "passed"}
    told = [f"{counts[status]:,} {word}" for status, word in words.items() if counts[status]]
    return f"{', '.join(told)} ({sum(result.seconds for result in results):.2f} s)."


def as_json(result: UnitTestResult) -> dict[str, Any]:
    """Return a result as JSON."""
    difference, place = result.difference, result.plan.place
    return {
        "dataset_name": result.plan.dataset.name,
        "name": result.plan.name,
        "status": result.status,
        "seconds": round(result.seconds, 3),
        "file": place.file,
        "line": place.line,
        "message": result.message,
        "columns": list(difference.columns) if difference else [],
        "differences": [_row_as_json(difference.columns, row) for row in difference.rows]
        if difference
        else [],
    }


def as_junit(results: Sequence[UnitTestResult]) -> str:
    """Return the results as JUnit XML, with a suite for each dataset."""
    root = ET.Element("testsuites", _counts(results))
    by_dataset: dict[str, list[UnitTestResult]] = {}
    for result in results:
        by_dataset.setdefault(result.plan.dataset.name or "", []).append(result)
    for dataset, own in by_dataset.items():
        suite = ET.SubElement(root, "testsuite", {"name": dataset, **_counts(own)})
        for result in own:
            place = result.plan.place
            attributes = {
                "classname": dataset,
                "name": result.plan.name,
                "file": place.file,
                "line": str(place.line),
                "time": f"{result.seconds:.3f}",
            }
            case = ET.SubElement(suite, "testcase", {key: _xml(value) for key, value in attributes.items()})
            if result.status != "passed":
                kind = "failure" if result.status == "failed" else "error"
                found = ET.SubElement(case, kind, {"message": _xml(result.message or "")})
                found.text = _xml("\n".join([_place(result), *_details(result)]))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")


def _counts(results: Sequence[UnitTestResult]) -> dict[str, str]:
    counts = Counter(result.status for result in results)
    seconds = sum(result.seconds for result in results)
    return {
        "tests": str(len(results)),
        "failures": str(counts["failed"]),
        "errors": str(counts["error"]),
        "time": f"{seconds:.3f}",
    }


def _xml(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)


def _place(result: UnitTestResult) -> str:
    place = result.plan.place
    return f"{place.file}:{place.line}:{place.column}"


def _details(result: UnitTestResult) -> list[str]:
    return _table(result.difference) if result.difference else [printable(result.message or "")]


def _table(difference: Difference) -> list[str]:
    shown = difference.rows[:MAX_SHOWN]
    lines = aligned(["ROW", *difference.columns], [[row.kind, *_cells(row)] for row in shown])
    more = len(difference.rows) - len(shown)
    return [*lines, f"… and {more:,} more."] if more else lines


def _cells(row: RowDifference) -> list[str]:
    if row.expected is None or row.found is None:
        return [_text(value) for value in row.expected or row.found or ()]
    return [
        f"{_text(expected)} → {_text(found)}" if differs else _text(found)
        for expected, found, differs in zip(row.expected, row.found, row.cells, strict=True)
    ]


def _text(value: Any) -> str:
    if value is None:
        return "NULL"
    return printable(str(value).lower() if isinstance(value, bool) else str(value))


def _row_as_json(columns: Sequence[str], row: RowDifference) -> dict[str, Any]:
    return {
        "row": row.kind,
        "expected": _object(columns, row.expected),
        "found": _object(columns, row.found),
    }


def _object(columns: Sequence[str], row: Row | None) -> dict[str, Any] | None:
    return None if row is None else {name: plain(value) for name, value in zip(columns, row, strict=True)}
