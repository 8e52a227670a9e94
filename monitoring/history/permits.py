"""Mined ground outside the permits."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas
from numpy.typing import NDArray

from euromine.support.csv_tables import safe_cell
from euromine.support.errors import ArgumentError, PermitError
from euromine.support.files import atomic_file
from euromine.support.geopackages import require_geopandas
from euromine.support.ground_areas import HECTARE
from euromine.support.polygon_measures import PolygonMeasures, polygon_perimeters

from .map_polygons import MapPolygons, MeasuredPolygons
from .outside_parts import Extent, Outlines, corner_batches
from .vector_files import write_geopackage

logger = logging.getLogger(__name__)

MINED, NEW = _KINDS = "mined", "new"
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
# In memory; the others are float64. Kinds are numbered.
_TYPES: dict[str, Any] = {"year": np.int32, "kind": np.uint8, "year_1": np.int32, "site": object}
# Those columns that `MapPolygons` measures and keeps.
_SIZES = ("area_ha", "perimeter_m")
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
    require_geopandas()
    mined = list(dict.fromkeys(footprints["year"]))
    sources = [YearPolygons(MINED, mined, lambda year: [footprints[footprints["year"] == year]])]
    if changes is not None:
        gains = _newest_gains(changes, pairs)
        order = list(dict.fromkeys(gains["year_2"]))
        sources.append(YearPolygons(NEW, order, lambda year: [gains[gains["year_2"] == year]]))
    tables = outside_tables(sources, permits, footprints.crs, minimum_mapping_unit=minimum_mapping_unit)
    return pandas.concat(_filled(tables), ignore_index=True)


@dataclass(frozen=True)
class YearPolygons:
    """Polygons of one kind, read a year at a time.

    Attributes:
        kind: "mined" or "new".
        years: The years, in the order of their polygons' file.
        read: Reads those of a year, some at a time: parts of the result of `footprint_polygons`, or the gains
            in it.
    """

    kind: str
    years: Sequence[int]
    read: Callable[[int], Iterable[Any]]


def outside_tables(
    sources: Sequence[YearPolygons],
    permits: Any,
    crs: Any,
    *,
    minimum_mapping_unit: float = 0.0,
    folder: Path | None = None,
) -> Iterator[Any]:
    """As `outside_permits`, a table per year, of a year with many parts several; an empty one without years.

    Polygons are read twice: all are measured in the projection around what lies outside in all years.

    Args:
        sources: The footprints, and the new mines.
        permits: As there.
        crs: The coordinate system of the polygons.
        minimum_mapping_unit: As there.
        folder: Where the outlines of a year's parts wait in a temporary file if they are many; None to keep
            them in memory.

    Raises:
        OSError: Outlines cannot be written to the folder.
        As there, with the first table.
    """
    if crs != permits.crs:
        raise PermitError(f"permits: found {permits.crs.name}; expected the footprints' {crs.name}.")
    if not minimum_mapping_unit >= 0:
        raise ArgumentError(
            f"minimum_mapping_unit: found {minimum_mapping_unit}; expected hectares of at least 0."
        )
    outlines = Outlines(np.asarray(permits.geometry.array, dtype=object))
    smallest = max(_SPECK, minimum_mapping_unit * HECTARE)
    measures = [_PartMeasures.of(source, outlines, crs) for source in sources]
    if outlines.polygons and not outlines.touched:
        logger.warning(
            "None of the %d permit outlines touches a mine, so all mines count as outside. Are they of this "
            "site?",
            len(permits),
        )
    years = sorted({int(year) for source in sources for year in source.years})
    for year in years:
        with closing(_YearParts(folder)) as parts:
            for source, measure in zip(sources, measures, strict=True):
                for batch in _batches(source, year):
                    parts.add(_parts_outside(source.kind, batch, outlines, smallest, measure))
                    del batch  # before the next one is read
            yield from parts.tables(crs)
    if not years:
        yield from _YearParts(None).tables(crs)


def _batches(source: YearPolygons, year: int) -> Iterator[Any]:
    """The polygons of a year, some at a time; none where it is not one of the source's."""
    if year in source.years:
        for frame in source.read(year):
            yield from corner_batches(frame)
            del frame  # before the next one is read


class _YearParts:
    """The parts outside of a year; where they are many, their outlines wait on disk.

    Args:
        folder: As for `outside_tables`.
    """

    def __init__(self, folder: Path | None) -> None:
        self._polygons = MapPolygons(folder)
        self._columns: dict[str, list[NDArray[Any]]] = {name: [] for name in _COLUMNS if name not in _SIZES}
        self._number = 0

    def add(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Take some parts, "mined" before "new"."""
        owners = np.arange(self._number, self._number + len(columns["geometry"]))
        sizes = (columns[name] for name in _SIZES)
        self._polygons.add(MeasuredPolygons(owners, columns["geometry"], *sizes))
        self._number += len(owners)
        for name, arrays in self._columns.items():
            arrays.append(columns[name])

    def tables(self, crs: Any) -> Iterator[Any]:
        """The parts as tables, sorted, at least one."""
        import geopandas

        self._polygons.finish({})
        columns = {name: _joined(self._columns.pop(name), name) for name in [*self._columns]}
        columns |= self._polygons.columns()
        order = np.lexsort((-columns["area_ha"], columns["kind"]))
        for places, outlines in self._polygons.batches(order):
            taken = {name: columns[name][places] for name in _COLUMNS}
            taken["kind"] = np.array(_KINDS, object)[taken["kind"]]
            yield geopandas.GeoDataFrame(taken, geometry=list(outlines), crs=crs)

    def close(self) -> None:
        """Give up the outlines."""
        self._polygons.close()


def write_findings(
    findings: Iterable[Any], table: str | os.PathLike[str], polygons: str | os.PathLike[str]
) -> None:
    """Write mined ground outside the permits as a table and as polygons; each file at once.

    Args:
        findings: The result of `outside_tables`, of which one table is in memory at a time, or that of
            `outside_permits` in a list.
        table: The CSV file: all columns but the geometry, hectares to a square metre.
        polygons: A GeoPackage.

    Raises:
        OSError: A file cannot be written.
    """
    with atomic_file(Path(table)) as part, part.open("w", encoding="utf-8", newline="") as file:
        write_geopackage(_tabulated(findings, file), polygons)


def _tabulated(findings: Iterable[Any], file: TextIO) -> Iterator[Any]:
    """The findings, each of which is written as rows of a table on the way."""
    for place, each in enumerate(findings):
        _write_rows(each, file, header=place == 0)
        yield each
        del each  # before the next one is made


def _write_rows(findings: Any, file: TextIO, *, header: bool) -> None:
    rows = findings.drop(columns="geometry").round(
        {"area_ha": 4, "longitude": 6, "latitude": 6, "outside_share": 4, "perimeter_m": 1}
    )
    texts = rows.select_dtypes(exclude="number").columns
    rows[texts] = rows[texts].map(safe_cell)
    rows.rename(columns=safe_cell).to_csv(file, index=False, header=header, lineterminator="\n")


def _parts_outside(
    kind: str, frame: Any, outlines: Outlines, smallest: float, measures: _PartMeasures
) -> dict[str, NDArray[Any]]:
    """Columns of the parts of at least `smallest` m2 outside; kinds by their place in `_KINDS`."""
    import geopandas
    import shapely

    whole = np.asarray(frame.geometry.array, dtype=object)
    parts, owners = outlines.outside(whole)
    areas = measures.parts.areas(parts)
    kept = areas >= smallest
    parts, owners, areas = parts[kept], owners[kept], areas[kept]
    points = geopandas.GeoSeries(shapely.point_on_surface(parts), crs=frame.crs).to_crs("EPSG:4326")
    whole_areas = measures.wholes.areas(whole)
    return {
        "year": frame["year" if kind == MINED else "year_2"].to_numpy()[owners],
        "kind": np.full(len(parts), _KINDS.index(kind), np.uint8),
        "area_ha": areas / HECTARE,
        "longitude": points.x.to_numpy(),
        "latitude": points.y.to_numpy(),
        "year_1": frame["year_1"].to_numpy()[owners] if kind == NEW else np.zeros(len(parts), int),
        "outside_share": np.bincount(owners, areas, len(frame))[owners] / whole_areas[owners],
        "perimeter_m": polygon_perimeters(parts, frame.crs),
        "site": frame["site"].to_numpy(dtype=object)[owners],
        "geometry": parts,
    }


@dataclass(frozen=True)
class _PartMeasures:
    """Measures of polygons and of their parts outside, as if those of all years were measured at once.

    Attributes:
        parts: Of the parts.
        wholes: Of the polygons.
    """

    parts: PolygonMeasures
    wholes: PolygonMeasures

    @classmethod
    def of(cls, source: YearPolygons, outlines: Outlines, crs: Any) -> _PartMeasures:
        """The measures of the polygons of all years."""
        parts, wholes = Extent(), Extent()
        for year in source.years:
            for batch in _batches(source, year):
                polygons = np.asarray(batch.geometry.array, dtype=object)
                wholes.add(polygons)
                outlines.extend(parts, polygons)
                del batch, polygons  # before the next ones are read
        return cls(PolygonMeasures(crs, parts.points), PolygonMeasures(crs, wholes.points))


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


def _joined(arrays: list[NDArray[Any]], name: str) -> NDArray[Any]:
    """A column of all parts together, of the right type even without any."""
    dtype = _TYPES.get(name, np.float64)
    return np.concatenate([np.array([], dtype), *arrays]).astype(dtype, copy=False)


def _filled(tables: Iterable[Any]) -> list[Any]:
    """Those tables that have rows, or the first."""
    found = [*tables]
    return [table for table in found if len(table)] or found[:1]
