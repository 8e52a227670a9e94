"""Footprints and changes as polygons along the pixels' edges: GeoPackage and GeoParquet.

Pixels belong together where they share an edge; those that touch in a corner alone are two polygons. So every
polygon is a valid one, and all of them cover exactly the pixels that they were made of.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from euromine.support.errors import MissingExtraError
from euromine.support.ground_areas import HECTARE, zone_area

from .map_values import GAIN, LOSS, UNDIRECTED

if TYPE_CHECKING:
    from euromine.monitoring.scenes.grids import Grid

Maps = NDArray[np.uint8]

CHANGE_KINDS = {GAIN: "gain", LOSS: "loss", UNDIRECTED: "undirected"}
FORMATS = (".gpkg", ".parquet")
# What a byte can number.
_MOST_YEARS = 255
# Points and weights of Gauss and Legendre on 0 to 1: exact for the areas beside an edge of many kilometres.
_POINTS = (0.5 - 15**0.5 / 10, 0.5, 0.5 + 15**0.5 / 10)
_WEIGHTS = (5 / 18, 8 / 18, 5 / 18)


def require_geopandas() -> Any:
    """The module geopandas.

    Raises:
        MissingExtraError: It, or what it needs here, is not installed.
    """
    try:
        import geopandas
        import pyogrio  # noqa: F401 - what geopandas reads and writes files with
        import pyproj  # noqa: F401
        import shapely  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"polygons need {error.name or 'geopandas'}, which is not installed: "
            "pip install 'euromine[polygons]'"
        ) from None
    return geopandas


def footprint_polygons(
    footprints: Sequence[Maps] | Maps,
    years: Sequence[int],
    grid: Grid,
    *,
    smallest_mapping_unit: float = 0.0,
    site: str = "",
) -> Any:
    """The mines of each year as polygons.

    Args:
        footprints: A map (height, width) for each year, uint8, 1 mine, 0 and 255 not: an array of all, or a
            sequence that reads them when they are asked for, which is twice.
        years: The years, ascending.
        grid: Of the maps.
        smallest_mapping_unit: Hectares; smaller holes are filled, then smaller polygons left out.
        site: The site's name.

    Returns:
        A `geopandas.GeoDataFrame` in the grid's coordinate system, by year and the largest first: `site`,
        `year`, `area_ha` and `perimeter_m` on the true ground (the edges of holes included), `first_year` and
        `last_year` in which any of the polygon's ground is mined, in the whole series, and `geometry`.

    Raises:
        ValueError: The maps do not fit the years or the grid, or the unit is negative.
        MissingExtraError: geopandas is not installed.
    """
    geopandas = require_geopandas()
    _check_maps(footprints, len(years), grid, smallest_mapping_unit)
    if len(years) > _MOST_YEARS or any(first >= second for first, second in pairwise(years)):
        raise ValueError(f"the years are {list(years)}, ascending ones were expected, {_MOST_YEARS} at most")
    first, last = (np.zeros((grid.height, grid.width), np.uint8) for _ in range(2))
    for index in range(len(years)):
        mined = footprints[index] == 1
        first[mined & (last == 0)] = index
        # Counted from 1: 0 is ground that was not mined so far.
        last[mined] = index + 1
    columns: dict[str, list[Any]] = {name: [] for name in ("year", "first_year", "last_year", "geometry")}
    calendar = np.array(years)
    for index, year in enumerate(years):
        mined = footprints[index] == 1
        box = _box(mined)
        if box is None:
            continue
        labels, number = ndimage.label(mined[box], output=np.int32)
        geometries, numbers = _outlines(labels, grid, box)
        inside = labels > 0
        firsts = _years_of_parts(labels[inside], first[box][inside], number, len(years))
        lasts = _years_of_parts(labels[inside], last[box][inside] - 1, number, len(years))
        columns["geometry"] += list(geometries)
        columns["year"] += [int(year)] * len(geometries)
        columns["first_year"] += calendar[firsts.argmax(axis=1)][numbers - 1].tolist()
        columns["last_year"] += calendar[::-1][lasts[:, ::-1].argmax(axis=1)][numbers - 1].tolist()
    geometry = columns.pop("geometry")
    numbers_by_name = {name: np.array(values, np.int32) for name, values in columns.items()}
    return _frame(
        geopandas,
        geometry,
        {"site": [site] * len(geometry), **numbers_by_name},
        grid,
        smallest_mapping_unit,
        ["site", "year", "area_ha", "perimeter_m", "first_year", "last_year"],
        ["year"],
    )


def change_polygons(
    changes: Sequence[Maps] | Maps,
    pairs: Sequence[tuple[int, int]],
    grid: Grid,
    *,
    smallest_mapping_unit: float = 0.0,
    site: str = "",
) -> Any:
    """The changes between pairs of years as polygons, gain and loss apart.

    Args:
        changes: A map (height, width) for each pair, uint8: 1 gain, 2 loss, 3 change of unknown direction, 0
            and 255 none; an array of all, or a sequence that reads them when they are asked for.
        pairs: The two calendar years of each.
        grid: Of the maps.
        smallest_mapping_unit: As for `footprint_polygons`.
        site: The site's name.

    Returns:
        A `geopandas.GeoDataFrame` by pair and the largest first: `site`, `year_1`, `year_2`, `kind` ("gain",
        "loss" or "undirected"), `area_ha`, `perimeter_m` and `geometry`.

    Raises:
        ValueError: As for `footprint_polygons`.
        MissingExtraError: geopandas is not installed.
    """
    geopandas = require_geopandas()
    _check_maps(changes, len(pairs), grid, smallest_mapping_unit)
    geometry: list[Any] = []
    year_1, year_2, kind = [], [], []
    for index, (first, second) in enumerate(pairs):
        codes = np.where(np.isin(changes[index], list(CHANGE_KINDS)), changes[index], 0).astype(np.uint8)
        box = _box(codes)
        if box is None:
            continue
        geometries, found = _outlines(codes[box], grid, box)
        geometry += list(geometries)
        year_1 += [int(first)] * len(geometries)
        year_2 += [int(second)] * len(geometries)
        kind += [CHANGE_KINDS[code] for code in found.tolist()]
    values = {
        "site": [site] * len(geometry),
        "year_1": np.array(year_1, np.int32),
        "year_2": np.array(year_2, np.int32),
        "kind": kind,
    }
    names = ["site", "year_1", "year_2", "kind", "area_ha", "perimeter_m"]
    return _frame(geopandas, geometry, values, grid, smallest_mapping_unit, names, ["year_1", "year_2"])


def write_polygons(frame: Any, path: str | os.PathLike[str]) -> None:
    """Write polygons as GeoPackage or GeoParquet, at once: a reader finds the old file or the new one.

    Args:
        frame: A `geopandas.GeoDataFrame`; it may be empty.
        path: A file whose name ends in .gpkg or .parquet, in a folder that exists. A GeoPackage has one layer
            of that name, of multipolygons.

    Raises:
        ValueError: The name ends otherwise.
        OSError: The file cannot be written.
    """
    import pyogrio

    target = Path(path)
    if target.suffix not in FORMATS:
        raise ValueError(
            f"{target}: polygons are written as {' or '.join(FORMATS)}, not as {target.suffix!r}"
        )
    # In a folder of its own: SQLite keeps journals beside what it writes.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        part = Path(folder) / target.name
        if target.suffix == ".parquet":
            frame.to_parquet(part, index=False, compression="zstd")
        else:
            try:
                pyogrio.write_dataframe(
                    frame,
                    part,
                    driver="GPKG",
                    layer=target.stem,
                    geometry_type="MultiPolygon",
                    promote_to_multi=True,
                )
            except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, RuntimeError) as error:
                raise OSError(f"{target}: cannot be written ({error})") from None
        part.replace(target)


def ground_areas(geometries: Any, crs: Any) -> NDArray[np.float64]:
    """Areas of polygons on the true ground, in m2.

    In degrees that is the area on the ellipsoid inside edges that are straight in longitude and latitude, as
    pixels' are; in a projected system it is the projection's, as for pixels.

    Args:
        geometries: Polygons and multipolygons, an array of shapely's.
        crs: Their coordinate system, of pyproj.

    Returns:
        (geometries,), float64.
    """
    import shapely

    parts, of_part = shapely.get_parts(np.asarray(geometries, dtype=object), return_index=True)
    rings, of_ring = shapely.get_rings(parts, return_index=True)
    # The rings of a polygon come together, its outer one first.
    outer = np.ones(len(rings), bool)
    outer[1:] = of_ring[1:] != of_ring[:-1]
    start, end, of_edge = _edges(rings)
    if crs.is_geographic:
        beside = np.zeros(len(start))
        for point, weight in zip(_POINTS, _WEIGHTS, strict=True):
            latitude = start[:, 1] + point * (end[:, 1] - start[:, 1])
            beside += weight * np.sign(latitude) * zone_area(np.zeros(1), latitude)
        swept = beside * (end[:, 0] - start[:, 0])
        factor = 1.0
    else:
        # From the first corner, so that coordinates of millions of metres cost no digits.
        origin = start[0] if len(start) else np.zeros(2)
        a, b = start - origin, end - origin
        swept = (a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]) / 2
        factor = crs.axis_info[0].unit_conversion_factor ** 2
    ring_areas = np.abs(np.bincount(of_edge, swept, minlength=len(rings))) * np.where(outer, 1, -1)
    part_areas = np.bincount(of_ring, ring_areas, minlength=len(parts))
    areas = np.bincount(of_part, part_areas, minlength=len(geometries)).astype(np.float64)
    return factor * areas


def ground_perimeters(geometries: Any, crs: Any) -> NDArray[np.float64]:
    """Lengths of all edges of polygons on the true ground, those of holes included, in m.

    Args:
        geometries: Polygons and multipolygons, an array of shapely's.
        crs: Their coordinate system, of pyproj; in degrees edges are measured on the ellipsoid.

    Returns:
        (geometries,), float64.
    """
    import shapely

    parts, of_part = shapely.get_parts(np.asarray(geometries, dtype=object), return_index=True)
    rings, of_ring = shapely.get_rings(parts, return_index=True)
    start, end, of_edge = _edges(rings)
    if crs.is_geographic:
        lengths = crs.get_geod().inv(start[:, 0], start[:, 1], end[:, 0], end[:, 1])[2]
    else:
        lengths = np.hypot(*(end - start).T) * crs.axis_info[0].unit_conversion_factor
    owners = of_part[of_ring[of_edge]]
    return np.bincount(owners, lengths, minlength=len(geometries)).astype(np.float64)


def polygon_parts(geometries: Any) -> tuple[Any, NDArray[np.intp]]:
    """The polygons that geometries are made of, valid ones, and of which geometry each is a part.

    Points and lines, which repairing an outline or cutting polygons leaves behind, are left out.

    Args:
        geometries: An array of shapely's, any kind.
    """
    import shapely

    array = np.asarray(geometries, dtype=object)
    wrong = ~shapely.is_valid(array) & ~shapely.is_missing(array)
    if wrong.any():
        array = array.copy()
        array[wrong] = shapely.make_valid(array[wrong])
    parts, owners = array, np.arange(len(array))
    # A collection may hold multipolygons: taken apart twice, nothing but simple geometries is left.
    for _ in range(2):
        parts, inside = shapely.get_parts(parts, return_index=True)
        owners = owners[inside]
    kept = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)
    return parts[kept], owners[kept]


def _edges(rings: Any) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """The edges of rings: their start and end (edges, 2), and of which ring each is."""
    import shapely

    points, owners = shapely.get_coordinates(rings, return_index=True)
    inside = owners[1:] == owners[:-1]
    return points[:-1][inside], points[1:][inside], owners[1:][inside]


def _box(mask: NDArray[Any]) -> tuple[slice, slice] | None:
    """The rows and columns around all that is not 0."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _years_of_parts(
    labels: NDArray[np.int32], indices: NDArray[np.uint8], parts: int, years: int
) -> NDArray[np.bool_]:
    """Which years any pixel of each connected part has, (parts, years).

    Args:
        labels: The part of each pixel, from 1.
        indices: The year of each pixel, from 0.
        parts: How many parts there are.
        years: How many years there are.
    """
    keys = (labels.astype(np.int64) - 1) * years + indices
    return np.bincount(keys, minlength=parts * years).reshape(parts, years) > 0


def _outlines(codes: NDArray[Any], grid: Grid, box: tuple[slice, slice]) -> tuple[Any, NDArray[np.int64]]:
    """The valid polygons of a map's values above 0, connected by edges, and the value of each."""
    import shapely
    from rasterio.features import shapes
    from rasterio.windows import Window
    from rasterio.windows import transform as window_transform

    window = Window(box[1].start, box[0].start, *codes.shape[::-1])
    transform = window_transform(window, grid.transform)
    found = list(shapes(codes, mask=codes > 0, connectivity=4, transform=transform))
    polygons = np.array([_polygon(shape["coordinates"]) for shape, _ in found], dtype=object)
    values = np.array([value for _, value in found], dtype=np.int64)
    if len(polygons) and not shapely.is_valid(polygons).all():
        polygons, owners = polygon_parts(polygons)
        values = values[owners]
    return polygons, values


def _polygon(rings: Sequence[Any]) -> Any:
    import shapely

    return shapely.Polygon(rings[0], rings[1:])


def _frame(
    geopandas: Any,
    geometry: Iterable[Any],
    values: dict[str, Any],
    grid: Grid,
    smallest_mapping_unit: float,
    names: Sequence[str],
    order: Sequence[str],
) -> Any:
    """Polygons with their columns, generalised, measured and sorted."""
    from euromine.support.rasters import crs_name

    name = grid.crs if isinstance(grid.crs, str) else crs_name(grid.crs)
    frame = geopandas.GeoDataFrame(values, geometry=list(geometry), crs=name)
    if smallest_mapping_unit:
        frame.geometry = _without_small_holes(frame.geometry.array, frame.crs, smallest_mapping_unit)
    frame["area_ha"] = ground_areas(frame.geometry.array, frame.crs) / HECTARE
    frame = frame[frame["area_ha"] >= smallest_mapping_unit].copy()
    frame["perimeter_m"] = ground_perimeters(frame.geometry.array, frame.crs)
    frame = frame.sort_values([*order, "area_ha"], ascending=[True] * len(order) + [False], kind="stable")
    return frame[[*names, "geometry"]].reset_index(drop=True)


def _without_small_holes(geometries: Any, crs: Any, smallest_mapping_unit: float) -> Any:
    """Polygons with all holes filled that are smaller than so many hectares."""
    import shapely

    filled = np.asarray(geometries, dtype=object).copy()
    for place in np.flatnonzero(shapely.get_num_interior_rings(filled)):
        polygon = filled[place]
        holes = np.array([shapely.Polygon(ring) for ring in polygon.interiors], dtype=object)
        kept = ground_areas(holes, crs) >= smallest_mapping_unit * HECTARE
        if not kept.all():
            filled[place] = shapely.Polygon(polygon.exterior, [hole.exterior for hole in holes[kept]])
    return filled


def _check_maps(maps: Sequence[Maps] | Maps, number: int, grid: Grid, smallest_mapping_unit: float) -> None:
    if not smallest_mapping_unit >= 0:
        raise ValueError(
            f"the smallest mapping unit is {smallest_mapping_unit} hectares, 0 or more was expected"
        )
    if not grid.crs:
        raise ValueError("the grid has no coordinate system, which polygons need")
    if len(maps) != number:
        raise ValueError(f"there are {len(maps)} maps, {number} were expected, one for each year or pair")
    for index in range(number if isinstance(maps, np.ndarray) else min(number, 1)):
        found = maps[index]
        if found.dtype != np.uint8 or found.shape != (grid.height, grid.width):
            raise ValueError(
                f"a map is {found.dtype} {found.shape}, uint8 {(grid.height, grid.width)} as the grid was "
                "expected"
            )
