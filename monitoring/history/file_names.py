"""Names of the files in a series folder."""

import re

AREAS, CHANGES_TABLE = "areas.csv", "changes.csv"
# Mined ground outside the permits, as table and as polygons, and the outlines of the permits themselves.
PERMITS_TABLE, PERMITS_POLYGONS, PERMIT_OUTLINES = "permits.csv", "permits.gpkg", "permit_outlines.gpkg"
REPORT = "report.html"
FIRST_YEAR, LAST_YEAR = "first_year.tif", "last_year.tif"

_TABLES = (AREAS, CHANGES_TABLE, PERMITS_TABLE, PERMITS_POLYGONS, PERMIT_OUTLINES, FIRST_YEAR, LAST_YEAR)
_MAPS_AND_POLYGONS = re.compile(
    r"((footprint|probability|change_\d+)_\d+|first_year|last_year)\.(tif|qml)|quicklook_\d+\.png|(footprints|changes)\.(gpkg|parquet)"
)


def is_output_name(name: str) -> bool:
    """Whether a series may write a file of this name, beside its manifest."""
    return name in _TABLES or _MAPS_AND_POLYGONS.fullmatch(name) is not None


def footprint_name(year: int) -> str:
    """The file of a year's footprint."""
    return f"footprint_{year}.tif"


def probability_name(year: int) -> str:
    """The file of a year's probability of being mined."""
    return f"probability_{year}.tif"


def change_name(year_1: int, year_2: int) -> str:
    """The file of the change between two years."""
    return f"change_{year_1}_{year_2}.tif"


def quicklook_name(year: int) -> str:
    """The file of a year's quicklook."""
    return f"quicklook_{year}.png"
