from euromine.support.markdown import table


def test_tables_are_aligned():
    assert table(("year", "F1"), [("2015", "0.5"), ("all", "0.25")]) == (
        "| year |   F1 |\n| ---- | ---: |\n| 2015 |  0.5 |\n| all  | 0.25 |"
    )
