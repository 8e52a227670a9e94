"""Mined ground outside the permits of a series, from the polygons in its folder, a year at a time."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from euromine.monitoring.mapping.map_values import GAIN
from euromine.support.geopackages import require_geopandas

from .file_names import PERMIT_OUTLINES, PERMITS_POLYGONS, PERMITS_TABLE
from .permits import MINED, NEW, YearPolygons, newest_pairs, outside_tables, write_findings
from .polygon_tables import CHANGE_KINDS
from .series_plan import SeriesPlan

_FOOTPRINTS, _CHANGES = "footprints.parquet", "changes.parquet"


def compare_with_permits(plan: SeriesPlan) -> list[str]:
    """Write what is mined outside the permits as a table and as polygons.

    Args:
        plan: The series' plan; the folder holds the polygons of footprints and changes.

    Returns:
        The files, that of the permits' outlines among them.

    Raises:
        OSError: A file cannot be written.
    """
    footprints = partial(_footprints, plan.folder)
    sources = [YearPolygons(MINED, plan.years, footprints)]
    # In the order of the file, which is that of the pairs.
    if new := {second: first for first, second in sorted(newest_pairs(plan.pairs))}:
        sources.append(YearPolygons(NEW, list(new), partial(_gains, plan.folder, new)))
    tables = outside_tables(
        sources,
        plan.permits,
        footprints(plan.years[0]).crs,
        minimum_mapping_unit=plan.settings.minimum_mapping_unit,
    )
    write_findings(tables, plan.folder / PERMITS_TABLE, plan.folder / PERMITS_POLYGONS)
    return [PERMITS_TABLE, PERMITS_POLYGONS, PERMIT_OUTLINES]


def _footprints(folder: Path, year: int) -> Any:
    read = require_geopandas().read_parquet
    return read(
        folder / _FOOTPRINTS, columns=["site", "year", "geometry"], filters=[("year", "==", int(year))]
    )


def _gains(folder: Path, earlier: dict[int, int], year: int) -> Any:
    """The gains of a year since an earlier one."""
    wanted = [
        ("year_1", "==", earlier[year]),
        ("year_2", "==", int(year)),
        ("kind", "==", CHANGE_KINDS[GAIN]),
    ]
    read = require_geopandas().read_parquet
    return read(folder / _CHANGES, columns=["site", "year_1", "year_2", "kind", "geometry"], filters=wanted)
