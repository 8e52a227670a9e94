"""The year in the names of files."""

import pytest

from euromine.support.sentinel2_products import year_in_name, years_in_name


@pytest.mark.parametrize(
    ("stem", "years"),
    [
        # A product's sensing time before its other dates.
        ("S2B_MSIL2A_20190629T212529_N0212_R043_T06VVN_20201006T080531", (2019,)),
        # A full date before numbers that are years.
        ("S2_20210715_T33_2021_10m", (2021,)),
        ("2018_composite_20210715", (2021,)),
        ("mine_2018-08-01", (2018,)),
        # Numbers that are no years.
        ("site12_2019", (2019,)),
        ("tile_120181", ()),
        ("Year2015", (2015,)),
        ("1950_pit_2021", (2021,)),
        ("1999", (1999,)),
        # Ambiguous.
        ("2019-2020_mosaic", (2019, 2020)),
        ("20190801_20200715", (2019, 2020)),
        ("scene", ()),
    ],
)
def test_years_in_names(stem: str, years: tuple[int, ...]) -> None:
    assert years_in_name(stem) == years
    assert year_in_name(stem) == (years[0] if len(years) == 1 else None)
