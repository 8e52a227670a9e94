"""Mined ground outside the permits of a series, from the polygons in its folder, a year at a time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from euromine.monitoring.mapping.map_values import GAIN

from .file_names import PERMIT_OUTLINES, PERMITS_POLYGONS, PERMITS_TABLE
from .permits import MINED, NEW, YearPolygons, newest_pairs, outside_tables, write_findings
from .polygon_files import read_tables, stored_crs
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
    sources = [YearPolygons(MINED, plan.years, partial(_footprints, plan.folder))]
    # In the order of the file, which is that of the pairs.
    if new := {second: first for first, second in sorted(newest_pairs(plan.pairs))}:
        sources.append(YearPolygons(NEW, list(new), partial(_gains, plan.folder, new)))
    tables = outside_tables(
        sources,
        plan.permits,
        stored_crs(plan.folder / _FOOTPRINTS),
        minimum_mapping_unit=plan.settings.minimum_mapping_unit,
        folder=plan.folder,
    )
    write_findings(tables, plan.folder / PERMITS_TABLE, plan.folder / PERMITS_POLYGONS)
    return [PERMITS_TABLE, PERMITS_POLYGONS, PERMIT_OUTLINES]


def _footprints(folder: Path, year: int) -> Iterator[Any]:
    return read_tables(folder / _FOOTPRINTS, ["site", "year"], {"year": int(year)})


def _gains(folder: Path, earlier: dict[int, int], year: int) -> Iterator[Any]:
    """The gains of a year since an earlier one."""
    wanted: dict[str, int | str] = {"year_1": earlier[year], "year_2": int(year), "kind": CHANGE_KINDS[GAIN]}
    return read_tables(folder / _CHANGES, ["site", "year_1", "year_2"], wanted)
