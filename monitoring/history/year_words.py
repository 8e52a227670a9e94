"""Years in words."""

from __future__ import annotations

from collections.abc import Iterable


def years_in_words(years: Iterable[int]) -> str:
    """Years in ascending order: "2015", "2015 and 2016", "2015 to 2018, 2020 and 2022"."""
    runs: list[list[int]] = []
    for year in sorted(years):
        if runs and year == runs[-1][-1] + 1:
            runs[-1].append(year)
        else:
            runs.append([year])
    parts: list[str] = []
    for run in runs:
        parts += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run)
    *others, last = parts
    return f"{', '.join(others)} and {last}" if others else last
