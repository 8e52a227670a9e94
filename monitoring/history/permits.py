"""What is mined outside the permits: outlines of any vector format beside a series' polygons."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.support.errors import PermitError
from euromine.support.files import write_text
from euromine.support.ground_areas import HECTARE

from .polygons import ground_areas, ground_perimeters, polygon_parts, require_geopandas, write_polygons

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
# Less than a square metre is what rounding leaves where an outline runs along pixels.
_SPECK = 1.0
# An outline's straight edges bend in another projection: in steps of a kilometre by less than a centimetre.
_STEP_IN_METRES = 1000.0
_METRES_PER_DEGREE = 111_320.0

# Formats that only point at other files, programs or servers.
_POINTING_DRIVERS = {
    "ADBC",
    "AmigoCloud",
    "Carto",
    "CSW",
    "EEDA",
    "Elasticsearch",
    "GDALG",
    "GPSBabel",
    "HTTP",
    "NGW",
    "OAPIF",
    "OGR_VRT",
    "PLSCENES",
    "WFS",
}
_POINTING_SIGNS = (b"<OGRVRTDataSource", b"<OGRWFSDataSource", b"<VRTDataset", b"gdal_streamed_alg")
_HEAD_BYTES = 1 << 16


def read_permits(path: str | os.PathLike[str], crs: Any, *, layer: str | None = None) -> Any:
    """The outlines of permits in the coordinate system of a series.

    Outlines that cross themselves are repaired, points and lines left out with a warning.

    Args:
        path: A file of any vector format that GDAL reads, or GeoParquet; a zipped shapefile, too.
        crs: The coordinate system to bring them to, anything that pyproj takes.
        layer: The layer to read, where a file has several with outlines.

    Returns:
        A `geopandas.GeoDataFrame` with the file's columns, one valid polygon a row, `permit` telling from
        which feature of the file, counted from 0.

    Raises:
        PermitError: It cannot be read, has no coordinate system, no outlines or several layers of them.
        FileNotFoundError: There is no such file.
        MissingExtraError: geopandas is not installed.
    """
    geopandas = require_geopandas()
    import pyproj
    import shapely

    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"{path}: there is no such file; expected the outlines of permits")
    frame = _read(geopandas, source, layer)
    if frame.crs is None:
        raise PermitError(
            f"{path}: says no coordinate system; expected one in the file (ogr2ogr -a_srs EPSG:... writes it)"
        )
    geometry = shapely.force_2d(np.asarray(frame.geometry.array, dtype=object))
    parts, owners = polygon_parts(geometry)
    others = int((~shapely.is_missing(geometry)).sum()) - len(np.unique(owners))
    if not len(parts):
        kinds = sorted({kind for kind in frame.geometry.geom_type if kind})
        raise PermitError(
            f"{path}: holds {', '.join(kinds) + ' alone' if kinds else 'no geometries'}; expected outlines "
            "(polygons)"
        )
    if others:
        logger.warning("%s: %d features are no outlines and were left out", path, others)
    target = pyproj.CRS.from_user_input(crs)
    outlines = frame.drop(columns=frame.geometry.name).iloc[owners].reset_index(drop=True)
    step = _STEP_IN_METRES / (
        _METRES_PER_DEGREE if frame.crs.is_geographic else frame.crs.axis_info[0].unit_conversion_factor
    )
    if not frame.crs.equals(target, ignore_axis_order=True):
        parts = shapely.segmentize(parts, step)
    outlines = geopandas.GeoDataFrame(
        {**{name: outlines[name] for name in outlines.columns}, "permit": owners},
        geometry=list(parts),
        crs=frame.crs,
    )
    moved = outlines.to_crs(target)
    if not np.isfinite(shapely.get_coordinates(moved.geometry.array)).all():
        raise PermitError(
            f"{path}: some outlines lie where {target.name} is not defined; expected permits near the scene "
            f"(the file says {frame.crs.name})"
        )
    # Brought to another system an outline may touch itself.
    parts, owners = polygon_parts(moved.geometry.array)
    moved = moved.iloc[owners].reset_index(drop=True)
    moved.geometry = parts
    return moved


def outside_permits(
    footprints: Any,
    changes: Any | None,
    permits: Any,
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    smallest_ha: float = 0.0,
) -> Any:
    """The parts of footprints, and of what is new in each year, that no permit covers.

    New in a year is the gain since the latest earlier year that it is compared with. An outline may cut a
    pixel: the part outside counts.

    Args:
        footprints: What `footprint_polygons` gave.
        changes: What `change_polygons` gave, or None to look at footprints alone.
        permits: What `read_permits` gave, in the same coordinate system.
        pairs: The pairs of years that were compared; default those in which anything changed.
        smallest_ha: Smaller parts are left out.

    Returns:
        A `geopandas.GeoDataFrame`, one polygon a row, by year, "mined" before "new" and the largest first:
        `year`; `kind`; `area_ha`; `longitude` and `latitude` of a point in it; `year_1`, since when it is new
        (0 if mined); `outside_share`, the share of the whole polygon's area that lies outside; `perimeter_m`;
        `site`; `geometry`.

    Raises:
        ValueError: The coordinate systems differ, or the size is negative.
        MissingExtraError: geopandas is not installed.
    """
    geopandas = require_geopandas()
    import shapely

    if footprints.crs != permits.crs:
        raise ValueError(
            f"the permits are in {permits.crs.name}, {footprints.crs.name} as the footprints was expected"
        )
    if not smallest_ha >= 0:
        raise ValueError(f"the smallest size is {smallest_ha} hectares, 0 or more was expected")
    outlines = np.asarray(permits.geometry.array, dtype=object)
    tables = []
    touched = False
    for kind, frame in (
        (MINED, footprints),
        (NEW, None if changes is None else _newest_gains(changes, pairs)),
    ):
        if frame is None or not len(frame):
            continue
        whole = np.asarray(frame.geometry.array, dtype=object)
        parts, owners, hits = _outside(whole, outlines)
        touched |= hits
        areas = ground_areas(parts, frame.crs)
        kept = areas >= max(_SPECK, smallest_ha * HECTARE)
        parts, owners, areas = parts[kept], owners[kept], areas[kept]
        points = geopandas.GeoSeries(shapely.point_on_surface(parts), crs=frame.crs).to_crs("EPSG:4326")
        tables.append(
            {
                "year": frame["year" if kind == MINED else "year_2"].to_numpy()[owners],
                "kind": np.full(len(parts), kind, dtype=object),
                "area_ha": areas / HECTARE,
                "longitude": points.x.to_numpy(),
                "latitude": points.y.to_numpy(),
                "year_1": frame["year_1"].to_numpy()[owners] if kind == NEW else np.zeros(len(parts), int),
                "outside_share": np.bincount(owners, areas, len(frame))[owners]
                / ground_areas(whole, frame.crs)[owners],
                "perimeter_m": ground_perimeters(parts, frame.crs),
                "site": frame["site"].to_numpy(dtype=object)[owners],
                "geometry": parts,
            }
        )
    if tables and not touched:
        logger.warning(
            "none of the %d outlines touches a mine: all that is mined counts as outside; are they of this "
            "place?",
            len(permits),
        )
    columns = {name: _joined([table[name] for table in tables], name) for name in (*_COLUMNS, "geometry")}
    geometry = list(columns.pop("geometry"))
    found = geopandas.GeoDataFrame(columns, geometry=geometry, crs=footprints.crs)
    found = found.sort_values(["year", "kind", "area_ha"], ascending=[True, True, False], kind="stable")
    return found.reset_index(drop=True)


def outside_by_year(findings: Any) -> Any:
    """What lies outside the permits in each year, summed up.

    Args:
        findings: What `outside_permits` gave.

    Returns:
        A `pandas.DataFrame` by `year`: `mined_ha` and `new_ha` outside, `parts` and `largest_ha` of what is
        mined there.
    """
    import pandas

    rows = []
    for year, group in findings.groupby("year"):
        mined = group[group["kind"] == MINED]["area_ha"]
        rows.append(
            {
                "year": int(year),
                "mined_ha": float(mined.sum()),
                "new_ha": float(group[group["kind"] == NEW]["area_ha"].sum()),
                "parts": len(mined),
                "largest_ha": float(mined.max()) if len(mined) else 0.0,
            }
        )
    return pandas.DataFrame(rows, columns=["year", "mined_ha", "new_ha", "parts", "largest_ha"])


def write_findings(
    findings: Any, table: str | os.PathLike[str], polygons: str | os.PathLike[str] | None = None
) -> None:
    """Write what lies outside as CSV, and as GeoPackage or GeoParquet where a name is given; each at once.

    Args:
        findings: What `outside_permits` gave.
        table: The CSV file: all columns but the geometry, hectares to a square metre.
        polygons: A file as of `write_polygons`.

    Raises:
        OSError: A file cannot be written.
    """
    if polygons is not None:
        write_polygons(findings, polygons)
    rows = findings.drop(columns="geometry").round(
        {"area_ha": 4, "longitude": 6, "latitude": 6, "outside_share": 4, "perimeter_m": 1}
    )
    write_text(Path(table), rows.to_csv(index=False, lineterminator="\n"))


def _read(geopandas: Any, source: Path, layer: str | None) -> Any:
    """The features of a file, if it is none that only points at others."""
    import pyogrio

    if source.is_file():
        with source.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if not head:
            raise PermitError(f"{source}: is empty; expected the outlines of permits")
        if any(sign in head for sign in _POINTING_SIGNS):
            raise PermitError(
                f"{source}: only points at other files or servers; expected the outlines themselves"
            )
    try:
        if source.suffix.lower() in (".parquet", ".geoparquet"):
            return geopandas.read_parquet(source)
        layers = pyogrio.list_layers(source)
        chosen = _layer(source, layers, layer)
        driver = pyogrio.read_info(source, layer=chosen)["driver"]
        if driver in _POINTING_DRIVERS:
            raise PermitError(
                f"{source}: only points at other files or servers ({driver}); expected outlines"
            )
        return pyogrio.read_dataframe(source, layer=chosen, on_invalid="ignore", force_2d=True)
    except PermitError:
        raise
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ValueError, RuntimeError) as error:
        said = " ".join(str(error).split()).removeprefix(f"{source}: ")
        raise PermitError(
            f"{source}: cannot be read ({said}); expected outlines in a vector format such as GeoPackage, "
            "GeoJSON or a shapefile"
        ) from None


def _layer(source: Path, layers: NDArray[Any], layer: str | None) -> str:
    """The layer to read: the one that was asked for, or the only one that can have outlines."""
    names = [str(name) for name, _ in layers]
    if layer is not None:
        if layer not in names:
            raise PermitError(f"{source}: has no layer {layer!r}; expected one of {', '.join(names)}")
        return layer
    spatial = [str(name) for name, kind in layers if kind is not None]
    outlines = [
        str(name)
        for name, kind in layers
        if kind is not None
        and any(word in str(kind) for word in ("Polygon", "Surface", "Unknown", "Collection"))
    ]
    if not spatial:
        raise PermitError(f"{source}: holds a table without geometries; expected outlines (polygons)")
    candidates = outlines or spatial
    if len(candidates) > 1:
        raise PermitError(
            f"{source}: holds the layers {', '.join(candidates)}; expected a file with one layer of outlines"
        )
    return candidates[0]


def _newest_gains(changes: Any, pairs: Sequence[tuple[int, int]] | None) -> Any:
    """The gains of each later year since the latest earlier year that it is compared with."""
    compared = zip(changes["year_1"], changes["year_2"], strict=True) if pairs is None else pairs
    latest: dict[int, int] = {}
    for first, second in compared:
        latest[int(second)] = max(int(first), latest.get(int(second), int(first)))
    return changes[(changes["year_1"] == changes["year_2"].map(latest)) & (changes["kind"] == "gain")]


def _outside(polygons: NDArray[Any], outlines: NDArray[Any]) -> tuple[Any, NDArray[np.intp], bool]:
    """The valid parts of polygons outside all outlines, of which polygon each is, and whether any was cut."""
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
    """One column of all tables; where there is none, one of the right type."""
    if arrays:
        column = np.concatenate(arrays)
    else:
        is_text = name in ("kind", "site", "geometry")
        column = np.empty(0, object if is_text else np.float64)
    return column.astype(np.int32) if name in ("year", "year_1") else column
