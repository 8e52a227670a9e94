"""Years in words."""

import pytest

from euromine.monitoring.history.year_words import years_in_words


@pytest.mark.parametrize(
    ("years", "words"),
    [
        ([2015], "2015"),
        ([2016, 2015], "2015 and 2016"),
        ([2015, 2017], "2015 and 2017"),
        (range(2015, 2018), "2015 to 2017"),
        ([2015, 2016, 2017, 2020], "2015 to 2017 and 2020"),
        ([2015, 2017, 2018, 2020, 2021, 2022], "2015, 2017, 2018 and 2020 to 2022"),
    ],
)
def test_runs_of_years_are_shortened(years, words: str) -> None:
    assert years_in_words(years) == words
