from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dli.output.tables import aligned, display_width, pairs, print_table, printable

TITLES = ("DATASET", "SOURCE", "NEXT RUN")


def test_columns_stand_under_their_titles() -> None:
    assert aligned(
        TITLES, [["a.b", "code", "-"], ["reports.ad_hoc_summary", "manual", "2024-01-22 12:00"]]
    ) == [
        "DATASET                  SOURCE   NEXT RUN",
        "a.b                      code     -",
        "reports.ad_hoc_summary   manual   2024-01-22 12:00",
    ]


def test_korean_letters_take_two_columns() -> None:
    assert display_width("일별 클릭") == 9
    lines = aligned(("OWNER", "CRON"), [["다나", "0 9"], ["dana", "0 8"]])
    assert lines == ["OWNER   CRON", "다나    0 9", "dana    0 8"]


def test_letters_that_are_put_together_are_counted_once() -> None:
    assert display_width("e\u0301") == 1


@pytest.mark.rule("26.7")
@given(st.lists(st.tuples(st.text(), st.text(), st.text()), max_size=5))
def test_no_text_breaks_a_table_into_more_lines_than_it_has_rows(rows: list[tuple[str, str, str]]) -> None:
    cells = [[printable(cell) for cell in row] for row in rows]
    lines = aligned(TITLES, cells)
    assert len(lines) == len(rows) + 1
    assert all(line.isprintable() for line in lines)


@pytest.mark.rule("20.1", "20.3")
def test_a_table_is_never_cut_and_has_no_colour_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = "x" * 500
    print_table(TITLES, [[long, "FAILED", "active"]])
    out = capsys.readouterr().out
    assert long in out
    assert "\x1b" not in out


@pytest.mark.rule("20.3")
def test_what_could_drive_a_terminal_is_taken_out_of_a_cell() -> None:
    assert printable("a\x1b[2Jb\nc\td\u202e") == "a [2Jb c d "


def test_labels_are_aligned_and_further_lines_hang_below_the_first() -> None:
    assert pairs([("Run", "a"), ("Parameters", "x=1\ny=2"), ("Note", None), ("Error", "")]) == (
        "Run:         a\nParameters:  x=1\n             y=2"
    )


@pytest.mark.rule("26.7")
def test_what_could_drive_a_terminal_is_taken_out_of_values_too() -> None:
    assert pairs([("Error", "a\x1b]0;x\x07b\nc")]) == "Error:  a ]0;x b\n        c"


def test_no_labels_make_no_text() -> None:
    assert pairs([]) == ""
