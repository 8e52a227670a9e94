"""Tables for spreadsheets: no text of a stranger runs as a formula, and numbers stay numbers."""

import csv
import io

import pytest

from euromine.support.csv_tables import csv_text, safe_cell


@pytest.mark.parametrize(
    "text",
    [
        '=HYPERLINK("http://evil.example","open")',
        "+1+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "  =1",
        "\uff1d1+1",
    ],
)
def test_a_text_that_would_be_a_formula_begins_with_an_apostrophe(text: str) -> None:
    header, row = csv.reader(io.StringIO(csv_text([text, "area"], [[text, 1.5]]), newline=""))
    assert header == [f"'{text}", "area"]
    assert row == [f"'{text}", "1.5"]


@pytest.mark.parametrize(
    "value", ["Austria_1", "-12.5", "+3", "-1e-5", "-inf", "a=b", "", -3, -2.5, None, True, "'", "Mine -3"]
)
def test_numbers_and_other_texts_are_left_alone(value: object) -> None:
    assert safe_cell(value) is value


def test_a_carriage_return_ends_no_line() -> None:
    assert csv_text(["a"], [["\r=1"], ["x\ry"]]) == "a\n' =1\nx y\n"


def test_a_table_has_a_line_a_row_and_quotes_what_needs_it() -> None:
    assert csv_text(["site", "area"], [["a,b", -1], ['say "c"', None]]) == (
        'site,area\n"a,b",-1\n"say ""c""",\n'
    )
