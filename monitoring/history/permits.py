"""Mined ground outside the permits."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.support.csv_tables import safe_cell
from euromine.support.errors import ArgumentError, PermitError
from euromine.support.files import write_text
from euromine.support.geopackages import require_geopandas
from euromine.support.ground_areas import HECTARE
from euromine.support.polygon_measures import polygon_areas, polygon_parts, polygon_perimeters

from .vector_files import write_polygons

logger = logging.getLogger(__name__)

MINED, NEW = "mined", "new"
_COLUMNS = (
    "year",
    "kind",
    "area_ha",
    "longitude",
    "latitude",
    "year_1",
    "outside_share",
    "perimeter_m",
    "site",
)
# In square metres; rounding leaves less where an outline runs along pixels.
_SPECK = 1.0


def outside_permits(
    footprints: Any,
    changes: Any | None,
    permits: Any,
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    minimum_mapping_unit: float = 0.0,
) -> Any:
    """The parts of footprints, and of each year's new mines, that no permit covers.

    New in a year is the gain since the latest earlier year that it is compared with. Of pixels that an
    outline cuts, the part outside counts.

    Args:
        footprints: The result of `footprint_polygons`.
        changes: The result of `change_polygons`, or None for footprints only.
        permits: The result of `read_permits`, in the same coordinate system.
        pairs: The pairs of years that were compared; by default those with changes.
        minimum_mapping_unit: Hectares. Smaller parts are left out.

    Returns:
        A `geopandas.GeoDataFrame` with one polygon per row, sorted by year, "mined" before "new" and
        descending area: `year`; `kind`; `area_ha`; `longitude` and `latitude` of a point in it; `year_1`,
        the year since which it is new (0 if mined); `outside_share`, the share of the whole polygon that lies
        outside; `perimeter_m`; `site`; `geometry`.

    Raises:
        PermitError: The coordinate systems differ.
        ArgumentError: The minimum mapping unit is negative.
        MissingExtraError: geopandas is not installed.
    """
    geopandas = require_geopandas()
    if footprints.crs != permits.crs:
        raise PermitError(
            f"permits: found {permits.crs.name}; expected the footprints' {footprints.crs.name}."
        )
    if not minimum_mapping_unit >= 0:
        raise ArgumentError(
            f"minimum_mapping_unit: found {minimum_mapping_unit}; expected hectares of at least 0."
        )
    outlines = np.asarray(permits.geometry.array, dtype=object)
    smallest = max(_SPECK, minimum_mapping_unit * HECTARE)
    tables = []
    touched = False
    gains = None if changes is None else _newest_gains(changes, pairs)
    for kind, frame in ((MINED, footprints), (NEW, gains)):
        if frame is not None and len(frame):
            table, hits = _parts_outside(kind, frame, outlines, smallest)
            tables.append(table)
            touched |= hits
    if tables and not touched:
        logger.warning(
            "None of the %d permit outlines touches a mine, so all mines count as outside. Are they of this "
            "site?",
            len(permits),
        )
    columns = {name: _joined([table[name] for table in tables], name) for name in (*_COLUMNS, "geometry")}
    geometry = list(columns.pop("geometry"))
    found = geopandas.GeoDataFrame(columns, geometry=geometry, crs=footprints.crs)
    found = found.sort_values(["year", "kind", "area_ha"], ascending=[True, True, False], kind="stable")
    return found.reset_index(drop=True)


def write_findings(
    findings: Any, table: str | os.PathLike[str], polygons: str | os.PathLike[str] | None = None
) -> None:
    """Write mined ground outside the permits as a table, and optionally as polygons; each file at once.

    Args:
        findings: The result of `outside_permits`.
        table: The CSV file: all columns but the geometry, hectares to a square metre.
        polygons: A file for `write_polygons`.

    Raises:
        OSError: A file cannot be written.
    """
    if polygons is not None:
        write_polygons(findings, polygons)
    rows = findings.drop(columns="geometry").round(
        {"area_ha": 4, "longitude": 6, "latitude": 6, "outside_share": 4, "perimeter_m": 1}
    )
    texts = rows.select_dtypes(exclude="number").columns
    rows[texts] = rows[texts].map(safe_cell)
    write_text(Path(table), rows.rename(columns=safe_cell).to_csv(index=False, lineterminator="\n"))


def _parts_outside(
    kind: str, frame: Any, outlines: NDArray[Any], smallest: float
) -> tuple[dict[str, NDArray[Any]], bool]:
    """Columns of the parts of at least `smallest` m2 outside, and whether any outline touches a polygon."""
    import geopandas
    import shapely

    whole = np.asarray(frame.geometry.array, dtype=object)
    parts, owners, touched = _outside(whole, outlines)
    areas = polygon_areas(parts, frame.crs)
    kept = areas >= smallest
    parts, owners, areas = parts[kept], owners[kept], areas[kept]
    points = geopandas.GeoSeries(shapely.point_on_surface(parts), crs=frame.crs).to_crs("EPSG:4326")
    whole_areas = polygon_areas(whole, frame.crs)
    columns = {
        "year": frame["year" if kind == MINED else "year_2"].to_numpy()[owners],
        "kind": np.full(len(parts), kind, dtype=object),
        "area_ha": areas / HECTARE,
        "longitude": points.x.to_numpy(),
        "latitude": points.y.to_numpy(),
        "year_1": frame["year_1"].to_numpy()[owners] if kind == NEW else np.zeros(len(parts), int),
        "outside_share": np.bincount(owners, areas, len(frame))[owners] / whole_areas[owners],
        "perimeter_m": polygon_perimeters(parts, frame.crs),
        "site": frame["site"].to_numpy(dtype=object)[owners],
        "geometry": parts,
    }
    return columns, touched


def _newest_gains(changes: Any, pairs: Sequence[tuple[int, int]] | None) -> Any:
    """The gains of each later year since the latest earlier year that it is compared with."""
    compared = zip(changes["year_1"], changes["year_2"], strict=True) if pairs is None else pairs
    latest = {second: first for first, second in newest_pairs(compared)}
    return changes[(changes["year_1"] == changes["year_2"].map(latest)) & (changes["kind"] == "gain")]


def newest_pairs(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Each later year with the latest earlier year that it is compared with."""
    latest: dict[int, int] = {}
    for first, second in pairs:
        latest[int(second)] = max(int(first), latest.get(int(second), int(first)))
    return [(first, second) for second, first in latest.items()]


def _outside(polygons: NDArray[Any], outlines: NDArray[Any]) -> tuple[Any, NDArray[np.intp], bool]:
    """The valid parts of polygons outside all outlines, the polygon of each, and whether any was touched."""
    import shapely

    tree = shapely.STRtree(outlines)
    of_polygon, of_outline = tree.query(polygons, predicate="intersects")
    rest = polygons.copy()
    for place in np.unique(of_polygon):
        covering = shapely.union_all(outlines[of_outline[of_polygon == place]])
        rest[place] = shapely.difference(polygons[place], covering)
    parts, owners = polygon_parts(rest)
    return parts, owners, len(of_polygon) > 0


def _joined(arrays: list[NDArray[Any]], name: str) -> NDArray[Any]:
    """A column of all tables together, of the right type even without tables."""
    if arrays:
        column = np.concatenate(arrays)
    else:
        is_text = name in ("kind", "site", "geometry")
        column = np.empty(0, object if is_text else np.float64)
    return column.astype(np.int32) if name in ("year", "year_1") else column
