"""Outlines of permits and of other ground, read from vector files of any format."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from euromine.support.errors import DataError, PermitError
from euromine.support.geopackages import require_geopandas
from euromine.support.placements import check_system
from euromine.support.polygon_measures import polygon_parts
from euromine.support.rasters import gdal
from euromine.support.vector_features import checked_geometries, read_features

logger = logging.getLogger(__name__)

# Straight edges bend in another projection: over steps of a kilometre by less than a centimetre.
_STEP_IN_METRES = 1000.0
_METRES_PER_DEGREE = 111_320.0

# Our own column, and those that GeoPackage and geopandas always have.
_TAKEN_NAMES = ("permit", "outline", "fid", "geom", "geometry")


def read_permits(path: str | os.PathLike[str], crs: Any, *, layers: Sequence[str] = ()) -> Any:
    """Read the outlines of permits, and bring them to the coordinate system of a series.

    Outlines that cross themselves are repaired and open rings closed; points, lines and features without
    geometry are left out with a warning. An outline that cannot be repaired is refused, as all that is mined
    in it would count as outside.

    Args:
        path: A file in any vector format that GDAL reads, including zipped shapefiles, or GeoParquet.
        crs: The coordinate system of the series, in any form that pyproj takes.
        layers: The layers to read, if a file has several with outlines, such as the folders of a KML.

    Returns:
        A `geopandas.GeoDataFrame` with the file's columns and one valid polygon per row; `permit` is the
        index of the feature in the file, from 0. A column whose name this or a GeoPackage needs gets a number
        behind its name.

    Raises:
        PermitError: The file cannot be read, has no coordinate system, no outlines or several layers of them,
            or an outline cannot be repaired.
        FileNotFoundError: There is no such file.
        MissingExtraError: geopandas is not installed.
    """
    return read_outlines(path, crs, "permits", PermitError, layers=layers, option="--layer").rename(
        columns={"outline": "permit"}
    )


def read_outlines(
    path: str | os.PathLike[str],
    crs: Any,
    subject: str,
    kind: type[DataError] = DataError,
    *,
    layers: Sequence[str] = (),
    option: str = "",
) -> Any:
    """As `read_permits`, for outlines of any ground; `outline` is the index of the feature in the file.

    Args:
        path: As there.
        crs: As there.
        subject: What they outline, for messages.
        kind: The error to raise.
        layers: As there.
        option: The option by which a user chooses a layer, for messages.
    """
    require_geopandas()
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"{path}: there is no such file; expected the outlines of {subject}.")
    features = read_features(source, layers, kind, option=option)
    return _reprojected(_outlines(features, source, kind), crs, source, subject, kind)


def _outlines(features: Any, source: Path, kind: type[DataError]) -> Any:
    """One valid polygon per row, with the columns and the index of its feature."""
    import geopandas
    import shapely

    geometry = checked_geometries(features, source, kind)
    parts, owners = polygon_parts(geometry)
    if not len(parts):
        kinds = sorted({each for each in features.geometry.geom_type if each})
        raise kind(
            f"{source}: found {'only ' + ', '.join(kinds) if kinds else 'no geometries'}; expected outlines "
            "(polygons)."
        )
    others = int((~shapely.is_missing(geometry)).sum()) - len(np.unique(owners))
    if others:
        logger.warning(
            "%s: left out %d of %d features, which are not polygons.", source, others, len(features)
        )
    if without := int(shapely.is_missing(geometry).sum()):
        logger.warning("%s: left out %d of %d features without geometry.", source, without, len(features))
    columns = features.drop(columns=features.geometry.name).iloc[owners].reset_index(drop=True)
    names = _free_names([str(name) for name in columns.columns], source)
    return geopandas.GeoDataFrame(
        {**{name: _writable(columns.iloc[:, place]) for place, name in enumerate(names)}, "outline": owners},
        geometry=list(parts),
        crs=features.crs,
    )


def _free_names(names: list[str], source: Path) -> list[str]:
    """Names of columns that differ in more than case from each other and from those that are taken."""
    taken = set(_TAKEN_NAMES)
    free = []
    for name in names:
        candidate, number = name, 1
        while candidate.casefold() in taken or (
            candidate != name and candidate.casefold() in {each.casefold() for each in names}
        ):
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate.casefold())
        free.append(candidate)
    renamed = [f"{name} to {new}" for name, new in zip(names, free, strict=True) if name != new]
    if renamed:
        logger.warning("%s: renamed the columns %s, as their names are taken.", source, ", ".join(renamed))
    return free


def _writable(column: Any) -> Any:
    """A column with lists and the like as text, which a GeoPackage can hold."""
    if column.dtype != object:
        return column
    plain = (str, bytes, int, float, bool, type(None), date)

    def written(value: Any) -> Any:
        if isinstance(value, plain):
            return value
        return str(value.tolist() if isinstance(value, np.ndarray) else value)

    return column.map(written)


def _reprojected(outlines: Any, crs: Any, source: Path, subject: str, kind: type[DataError]) -> Any:
    """Outlines in another coordinate system, still valid."""
    import pyproj
    import shapely

    target = pyproj.CRS.from_user_input(crs)
    _check_transformable(outlines.crs, target, source, kind)
    if not outlines.crs.equals(target, ignore_axis_order=True):
        unit = (
            _METRES_PER_DEGREE
            if outlines.crs.is_geographic
            else outlines.crs.axis_info[0].unit_conversion_factor
        )
        parts = np.asarray(outlines.geometry.array, dtype=object)
        outlines.geometry = shapely.segmentize(parts, _STEP_IN_METRES / unit)
    moved = outlines.to_crs(target)
    if not np.isfinite(shapely.get_coordinates(moved.geometry.array)).all():
        raise kind(
            f"{source}: found outlines in {outlines.crs.name} where {target.name} is not defined; expected "
            f"{subject} near the scene."
        )
    # In another coordinate system an outline may touch itself.
    parts, owners = polygon_parts(moved.geometry.array)
    moved = moved.iloc[owners].reset_index(drop=True)
    moved.geometry = parts
    return moved


def _check_transformable(crs: Any, target: Any, source: Path, kind: type[DataError]) -> None:
    """Refuse a coordinate system that is not the Earth's, or without a way to the series'."""
    import pyproj
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        with gdal():
            system = CRS.from_wkt(crs.to_wkt())
    except CRSError as error:
        raise kind(
            f"{source}: found a coordinate system that cannot be read ({error}); expected a known one. Write "
            "it with `ogr2ogr -a_srs EPSG:...`."
        ) from None
    check_system(system, str(source), kind, advice="Write it with `ogr2ogr -a_srs EPSG:...`.")
    try:
        pyproj.Transformer.from_crs(crs, target, always_xy=True)
    except pyproj.exceptions.ProjError:
        raise kind(
            f"{source}: found the coordinate system {crs.name!r}, which cannot be brought to {target.name}; "
            "expected one on the Earth. Write it with `ogr2ogr -a_srs EPSG:...`."
        ) from None
