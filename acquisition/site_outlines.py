"""Outlines of sites, from a box in degrees or a vector file in any coordinate system."""

from __future__ import annotations

import logging
import math
import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from euromine.dataset_script.archive_listing import is_ignored
from euromine.support.errors import ArgumentError, DataError, GridError
from euromine.support.geopackages import require_geopandas
from euromine.support.polygon_measures import polygon_parts
from euromine.support.vector_features import checked_geometries, read_features

from .catalogues import missing_acquire

logger = logging.getLogger(__name__)

_NAME_COLUMNS = ("site", "name", "id")
# West, south, east and north, in degrees.
_EUROPE = (-25.0, 34.0, 45.0, 72.0)


def require_shapely() -> Any:
    """The module shapely.

    Raises:
        MissingExtraError: shapely or pyproj is not installed.
    """
    try:
        import pyproj  # noqa: F401
        import shapely
    except ImportError as error:
        raise missing_acquire(error) from None
    return shapely


def box_outline(bbox: Sequence[float]) -> Any:
    """The outline of a box.

    Args:
        bbox: West, south, east and north in degrees.

    Returns:
        A shapely polygon in degrees, longitude first.

    Raises:
        ArgumentError: The box has no area, lies beyond the Earth, or has longitude and latitude swapped.
        MissingExtraError: shapely is not installed.
    """
    shapely = require_shapely()
    numbers = check_box(bbox)
    _warn_if_swapped("bbox", numbers)
    return shapely.box(*numbers)


def check_box(bbox: Sequence[float]) -> list[float]:
    """The west, south, east and north of a box, in degrees.

    Raises:
        ArgumentError: The box has no area, lies beyond the Earth, or has longitude and latitude swapped.
    """
    numbers = [float(number) for number in bbox]
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise ArgumentError(f"bbox: found {_words(bbox)}; expected west,south,east,north in degrees.")
    west, south, east, north = numbers
    _check_degrees("bbox", numbers)
    if west - east > 180:
        raise ArgumentError(
            f"bbox: found a box that crosses longitude 180, from {west:g} to {east:g}; expected one on a "
            f"single side. Acquire two sites: {west:g},{south:g},180,{north:g} and "
            f"-180,{south:g},{east:g},{north:g}."
        )
    if west >= east or south >= north:
        raise ArgumentError(
            f"bbox: found a box without area from {west:g} to {east:g} degrees east and from {south:g} to "
            f"{north:g} degrees north; expected west,south,east,north with west < east and south < north."
        )
    return numbers


def read_outline(path: str | os.PathLike[str]) -> Any:
    """The outline of a site: all outlines of a vector file together.

    Args:
        path: A file in any vector format that GDAL reads, in any coordinate system.

    Returns:
        A shapely polygon or multipolygon in degrees, longitude first.

    Raises:
        DataError: The file cannot be read, or has no outlines or no coordinate system.
        FileNotFoundError: There is no such file.
        MissingExtraError: A library that reads vector files is not installed.
    """
    geometry, _ = _outlines_in_degrees(Path(path))
    return require_shapely().union_all(geometry)


def read_site_outlines(path: str | os.PathLike[str], name_column: str | None = None) -> dict[str, Any]:
    """The outlines of several sites by name, one for each feature of a vector file.

    Args:
        path: As for `read_outline`.
        name_column: The column with the names; by default `site`, `name` or `id`.

    Raises:
        DataError: As for `read_outline`; or a name is missing or repeated.
        ArgumentError: There is no such column, or a name cannot be that of a folder.
        FileNotFoundError: There is no such file.
        MissingExtraError: A library that reads vector files is not installed.
    """
    geometry, features = _outlines_in_degrees(Path(path))
    names = [_site_name(value, path) for value in features[_name_column(features, name_column, path)]]
    for name, count in Counter(names).items():
        if count > 1:
            raise DataError(f"{path}: found the site {name!r} more than once; expected each name once.")
    alike: dict[str, str] = {}
    for name in names:
        if (other := alike.setdefault(site_key(name), name)) != name:
            raise DataError(
                f"{path}: found the sites {other!r} and {name!r}; expected names that differ in more than "
                "upper and lower case, as many disks take these for one."
            )
    return dict(zip(names, geometry, strict=True))


def check_site_name(name: str, argument: str = "site") -> str:
    """The site's name, if a folder can have it.

    Raises:
        ArgumentError: It cannot.
    """
    if is_ignored(name) or Path(name).name != name or not name.isprintable() or set(name) & set('\\/:*?"<>|'):
        raise ArgumentError(f"{argument}: found {name!r}; expected the name of a folder, such as Germany_12.")
    return name


def site_key(name: str) -> str:
    """A name as disks compare it that do not tell upper and lower case apart."""
    return unicodedata.normalize("NFC", name).casefold()


def _outlines_in_degrees(source: Path) -> tuple[list[Any], Any]:
    """A valid geometry for each feature with an area, and these features."""
    shapely = require_shapely()
    require_geopandas()
    if not source.exists():
        raise FileNotFoundError(f"{source}: there is no such file; expected the outlines of sites.")
    features = read_features(source, None)
    parts, owners = polygon_parts(checked_geometries(features, source))
    kept = np.unique(owners)
    if not len(kept):
        raise DataError(f"{source}: found no outlines with an area; expected polygons.")
    if len(kept) < len(features):
        logger.warning(
            "%s: left out %d of %d features, which have no area.",
            source,
            len(features) - len(kept),
            len(features),
        )
    if features.crs.is_geographic:
        _check_degrees(str(source), shapely.total_bounds(parts))
    whole = [shapely.union_all(parts[owners == owner]) for owner in kept]
    return _in_degrees(whole, features.crs, source), features.iloc[kept]


def _in_degrees(geometry: list[Any], crs: Any, source: Path) -> list[Any]:
    import geopandas
    import pyproj
    import shapely

    degrees = pyproj.CRS.from_epsg(4326)
    try:
        pyproj.Transformer.from_crs(crs, degrees, always_xy=True)
    except pyproj.exceptions.ProjError:
        raise GridError(
            f"{source}: found the coordinate system {crs.name!r}, which cannot be brought to degrees; "
            "expected one on the Earth."
        ) from None
    moved = list(geopandas.GeoSeries(geometry, crs=crs).to_crs(degrees))
    bounds = shapely.total_bounds(moved)
    if not np.isfinite(bounds).all():
        raise GridError(
            f"{source}: found outlines where {crs.name} is not defined; expected places on the Earth."
        )
    _check_degrees(str(source), bounds)
    _warn_if_swapped(str(source), bounds)
    return [shapely.make_valid(each) for each in moved]


def _check_degrees(subject: str, bounds: Sequence[float]) -> None:
    """Refuse bounds beyond the Earth, and explain those that are longitude and latitude swapped."""
    west, south, east, north = map(float, bounds)
    if max(abs(south), abs(north)) > 90 and max(abs(west), abs(east)) <= 90:
        raise ArgumentError(
            f"{subject}: found latitudes from {south:g} to {north:g}, as if longitude and latitude were "
            f"swapped; expected longitude first: {south:g},{west:g},{north:g},{east:g}."
        )
    if max(abs(south), abs(north)) > 90 or max(abs(west), abs(east)) > 180:
        raise ArgumentError(
            f"{subject}: found {west:g},{south:g},{east:g},{north:g}, which lies beyond the Earth; expected "
            "degrees, longitude from -180 to 180 and latitude from -90 to 90."
        )


def _warn_if_swapped(subject: str, bounds: Sequence[float]) -> None:
    """Warn of a place outside of Europe that would be in Europe with longitude and latitude swapped."""
    west, south, east, north = map(float, bounds)
    if _is_in_europe(south, west, north, east) and not _is_in_europe(west, south, east, north):
        logger.warning(
            "%s: lies at longitude %g, latitude %g. With the two swapped it lies in Europe: if that is "
            "meant, give longitude first, %g,%g,%g,%g.",
            subject,
            (west + east) / 2,
            (south + north) / 2,
            south,
            west,
            north,
            east,
        )


def _is_in_europe(west: float, south: float, east: float, north: float) -> bool:
    return _EUROPE[0] <= west and east <= _EUROPE[2] and _EUROPE[1] <= south and north <= _EUROPE[3]


def _name_column(features: Any, asked: str | None, path: str | os.PathLike[str]) -> str:
    columns = [str(column) for column in features.columns if column != features.geometry.name]
    if asked is not None and asked not in columns:
        raise ArgumentError(
            f"name_column: found {asked!r}; expected one of {', '.join(columns) or 'none'}, the columns of "
            f"{path}."
        )
    by_name = {column.casefold(): column for column in reversed(columns)}
    chosen = asked or next((by_name[name] for name in _NAME_COLUMNS if name in by_name), None)
    if chosen is None:
        raise ArgumentError(
            f"{path}: found the columns {', '.join(columns) or 'none'}; expected one with the sites' names. "
            "Give it with --name-column."
        )
    return chosen


def _site_name(value: Any, path: str | os.PathLike[str]) -> str:
    is_missing = value is None or (isinstance(value, float) and math.isnan(value))
    if isinstance(value, float) and value.is_integer():  # whole numbers in a column of floats
        value = int(value)
    text = "" if is_missing else str(value).strip()
    if not text:
        raise DataError(f"{path}: found a feature without a name; expected the name of a site in each.")
    return check_site_name(text, str(path))


def _words(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)
