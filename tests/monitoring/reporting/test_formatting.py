"""Numbers and lists in the words of a report."""

import pytest

from euromine.monitoring.reporting.formatting import hectare_range, hectares, listed, percent

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("value", "signed", "text"),
    [
        (0.004, False, "0"),
        (0.35, False, "0.35"),
        (12.34, True, "+12.3"),
        (-123.4, False, f"{MINUS}123"),
        (None, False, "unknown"),
        (float("nan"), True, "unknown"),
        (12345, False, "12\N{NARROW NO-BREAK SPACE}345"),
    ],
)
def test_hectares_have_the_digits_that_say_something(value, signed, text):
    assert hectares(value, signed=signed) == text


def test_an_interval_without_ends_is_unknown():
    assert hectare_range(5.184, 7.488) == "5.18\N{EN DASH}7.49"
    assert hectare_range(None, 7.488) == "unknown"


@pytest.mark.parametrize(("share", "text"), [(1, "100%"), (0.9996, "99.9%"), (0.7917, "79.2%"), (0, "0%")])
def test_all_of_it_is_only_said_where_nothing_is_missing(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("items", "text"),
    [([], "none"), ([2015], "2015"), ([2015, 2016], "2015 and 2016"), ("abc", "a, b and c")],
)
def test_a_list_ends_with_a_conjunction(items, text):
    assert listed(items) == text
