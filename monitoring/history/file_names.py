"""Names of the files in a series folder."""

import re

AREAS, CHANGES_TABLE = "areas.csv", "changes.csv"
# Mined ground outside the permits, as table and as polygons, and the outlines of the permits themselves.
PERMITS_TABLE, PERMITS_POLYGONS, PERMIT_OUTLINES = "permits.csv", "permits.gpkg", "permit_outlines.gpkg"
# Areas of components by year, and transitions between them.
COMPONENTS_TABLE, TRANSITIONS_TABLE = "components.csv", "component_transitions.csv"
# Indices of zones and water within the mine by year; recovery of ground after mining; land cover taken.
INDICES_TABLE, WATER_TABLE, LAND_COVER_TABLE = "indices.csv", "water.csv", "land_cover.csv"
RECLAMATION_TABLE, RECLAMATION_MAP, RECLAMATION = "reclamation.csv", "reclamation.tif", "reclamation"
REPORT = "report.html"
FIRST_YEAR, LAST_YEAR = "first_year.tif", "last_year.tif"

_TABLES = (
    AREAS,
    CHANGES_TABLE,
    COMPONENTS_TABLE,
    TRANSITIONS_TABLE,
    INDICES_TABLE,
    WATER_TABLE,
    LAND_COVER_TABLE,
    RECLAMATION_TABLE,
    PERMITS_TABLE,
    PERMITS_POLYGONS,
    PERMIT_OUTLINES,
    FIRST_YEAR,
    LAST_YEAR,
)
_IMPACT = re.compile(r"(indices|water)_\d+\.(tif|qml)|reclamation\.(tif|qml|gpkg|parquet)")
_MAPS_AND_POLYGONS = re.compile(
    r"((footprint|probability|change_(probability_)?\d+|(components|unsmoothed)_[a-z][a-z0-9_]*)_\d+|first_year|last_year)\.(tif|qml)|quicklook_\d+\.png|(footprints|changes|components)\.(gpkg|parquet)"
)


def is_output_name(name: str) -> bool:
    """Whether a series may write a file of this name, beside its manifest."""
    return name in _TABLES or any(pattern.fullmatch(name) for pattern in (_IMPACT, _MAPS_AND_POLYGONS))


def footprint_name(year: int) -> str:
    """The file of a year's footprint."""
    return f"footprint_{year}.tif"


def probability_name(year: int) -> str:
    """The file of a year's probability of being mined."""
    return f"probability_{year}.tif"


def component_name(group: str, year: int) -> str:
    """The file of a year's components of a group."""
    return f"components_{group}_{year}.tif"


def unsmoothed_name(group: str, year: int) -> str:
    """The file of a year's components of a group before smoothing."""
    return f"unsmoothed_{group}_{year}.tif"


def index_name(year: int) -> str:
    """The file of a year's spectral indices."""
    return f"indices_{year}.tif"


def water_name(year: int) -> str:
    """The file of a year's water within the mine."""
    return f"water_{year}.tif"


def change_name(year_1: int, year_2: int) -> str:
    """The file of the change between two years."""
    return f"change_{year_1}_{year_2}.tif"


def change_probability_name(year_1: int, year_2: int) -> str:
    """The file of the probability of a change between two years."""
    return f"change_probability_{year_1}_{year_2}.tif"


def quicklook_name(year: int) -> str:
    """The file of a year's quicklook."""
    return f"quicklook_{year}.png"
