"""Markdown that cards and benchmarks share."""

import pytest

from euromine.support.markdown import escaped, table


def test_tables_are_aligned():
    assert table(("year", "F1"), [("2015", "0.5"), ("all", "0.25")]) == (
        "| year |   F1 |\n| ---- | ---: |\n| 2015 |  0.5 |\n| all  | 0.25 |"
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Austria_1", "Austria_1"),
        ("Čeněk & Söhne", "Čeněk &amp; Söhne"),
        ("<img src=x onerror=alert(1)>|x_1", "&lt;img src=x onerror=alert(1)&gt;\\|x_1"),
        ("[a](javascript:alert)", "\\[a\\](javascript:alert)"),
        ("![](https://evil.example/x.png)", "\\!\\[\\](https&#58;//evil.example/x.png)"),
        ("www.evil.example", "www&#46;evil.example"),
        ("@everyone", "&#64;everyone"),
        ("`code` *b* _i_ ~~s~~ $m$", "\\`code\\` \\*b\\* \\_i\\_ \\~\\~s\\~\\~ \\$m\\$"),
        ("a\n\n# Heading\r\n- list\t\x00\x1b[31m", "a \\# Heading - list \\[31m"),
        (5, "5"),
    ],
)
def test_a_name_stays_a_name_in_one_line(name, shown):
    assert escaped(name) == shown
