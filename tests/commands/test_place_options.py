"""The options of a place, as text."""

import pytest

from euromine.commands.place_options import parse_bbox, parse_months
from euromine.support.errors import ArgumentError


@pytest.mark.parametrize("text", ["-6.7,37.6,-6.5,37.8", " -6.7, 37.6; -6.5 37.8 ", "-6.7 37.6 -6.5 37.8"])
def test_bounds_are_four_numbers(text: str) -> None:
    assert parse_bbox(text) == (-6.7, 37.6, -6.5, 37.8)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1,2,3,nan", "1,2,3,inf", "1°,2,3,4"])
def test_other_bounds_are_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match=r"^--bbox: found .*; expected west,south,east,north in degrees"):
        parse_bbox(text)


def test_months_are_listed_once_in_order() -> None:
    assert parse_months("6-8") == (6, 7, 8)
    assert parse_months("9, 5-6,6") == (5, 6, 9)


@pytest.mark.parametrize("text", ["", "summer", "0", "13", "6-13", "6-8-9"])
def test_other_months_are_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match=r"^--months: found .*; expected months such as 6-8 or 4,6-9\."):
        parse_months(text)


def test_a_winter_is_two_ranges() -> None:
    with pytest.raises(ArgumentError, match=r"found 11-2, which runs into the next year; .* 1-2,11-12\."):
        parse_months("11-2")
    assert parse_months("1-2,11-12") == (1, 2, 11, 12)
