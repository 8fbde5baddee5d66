"""Cursors of logs."""

from __future__ import annotations

import pytest

from basecamp.airflow.gateway import WrongCursor
from basecamp.runs.logs import REMEMBERED, LogCursor

ALL = 10**6


@pytest.mark.rule("12.19")
def test_each_line_comes_once_whatever_the_size_of_the_pieces() -> None:
    log = [f"line {number}" for number in range(100)]
    cursor, read = LogCursor(), list[str]()
    for written in (0, 1, 1, 40, 100, 100):
        for _ in range(10):
            lines, cursor = LogCursor.read(cursor.write()).go_on(log[:written], 7)
            read += lines
    assert read == log


@pytest.mark.rule("12.19")
def test_a_late_line_among_lines_already_read_comes_once_and_no_line_twice() -> None:
    log = [f"{number} s: line" for number in range(50)]
    read, cursor = LogCursor().go_on(log[:40], ALL)
    late = [*log[:38], "late", "", *log[38:40], "", *log[40:]]
    more, cursor = cursor.go_on(late, ALL)
    assert sorted(read + more) == sorted(late)
    assert more[:2] == ["late", ""]
    assert cursor.go_on(late, ALL)[0] == []


def test_the_same_line_written_again_is_a_new_line() -> None:
    _, cursor = LogCursor().go_on(["a", "a"], ALL)
    assert cursor.go_on(["a", "a", "a", "b", "a"], ALL)[0] == ["a", "b", "a"]
    assert cursor.go_on(["b", "a", "a", "a"], ALL)[0] == ["b", "a"]


def test_a_log_that_is_out_of_reach_for_a_while_neither_loses_nor_repeats_lines() -> None:
    log = [f"line {number}" for number in range(10)]
    _, cursor = LogCursor().go_on(log[:5], ALL)
    nothing, cursor = cursor.go_on(["Could not read served logs"], ALL)
    assert (nothing, cursor.go_on(log, ALL)[0]) == ([], log[5:])


def test_a_cursor_stays_short() -> None:
    _, cursor = LogCursor(12).go_on(["long " * 1000] * 10_000, ALL)
    assert len(cursor.last) == REMEMBERED
    assert len(cursor.write()) < 600


@pytest.mark.rule("26.8")
@pytest.mark.parametrize("text", ["", "end", "WyJhIl0", "WyJsb2ciLCJ4IiwiMCIsIiIsIiJd", "a" * 9000])
def test_a_cursor_of_another_list_is_refused(text: str) -> None:
    with pytest.raises(WrongCursor):
        LogCursor.read(text)
