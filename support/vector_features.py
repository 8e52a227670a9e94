"""Features of vector files of unknown origin, in any format that GDAL reads."""

from __future__ import annotations

import logging
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, EuroMineError
from .files import link_or_copy
from .vector_sources import check_self_contained

logger = logging.getLogger(__name__)

# Formats that only refer to other files, programs or servers.
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


# GDAL writes a schema (.gfs) beside these when it reads them.
_GML_SIGN = b"opengis.net/gml"
_HEAD_BYTES = 1 << 16
_LARGEST_UNPACKED = 2 * 2**30
_MOST_FEATURES = 10_000_000


def read_features(
    source: Path,
    layers: str | Sequence[str] | None = None,
    error_class: type[EuroMineError] = DataError,
    *,
    option: str = "",
) -> Any:
    """The features of a vector file of any format that holds its outlines itself.

    Args:
        source: The file, or a folder such as a file geodatabase.
        layers: The layers to read, if a file has several with outlines, such as the folders of a KML.
        error_class: The error to raise.
        option: The option by which a user chooses a layer, for messages.

    Returns:
        A `geopandas.GeoDataFrame` with all features, one layer after the other, which may have no coordinate
        system. Nothing is written beside the file.

    Raises:
        DataError: (`error_class`) The file cannot be read, refers to other files, or has no such layer or
            several of them.
        OSError: There is no such file.
    """
    import geopandas
    import pyarrow
    import shapely

    check_self_contained(source, error_class)
    if source.suffix.lower() in (".parquet", ".geoparquet"):
        try:
            _check_parquet(source, error_class)
            return geopandas.read_parquet(source)
        except EuroMineError:
            raise
        except (ValueError, OSError, pyarrow.ArrowException, shapely.errors.ShapelyError) as error:
            raise _unreadable(source, source, error, error_class) from error
    asked = (layers,) if isinstance(layers, str) else tuple(layers or ())
    with _apart(source) as path:
        return _read(path, source, asked, error_class, option)


def _check_parquet(source: Path, error_class: type[EuroMineError]) -> None:
    """Refuse a GeoParquet file that takes too much memory when it is unpacked."""
    import pyarrow.parquet

    metadata = pyarrow.parquet.read_metadata(source)
    unpacked = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    if unpacked > _LARGEST_UNPACKED or metadata.num_rows > _MOST_FEATURES:
        raise error_class(
            f"{source}: found {metadata.num_rows} features, {unpacked // 2**20} MB when unpacked; expected "
            f"at most {_MOST_FEATURES} features and {_LARGEST_UNPACKED // 2**20} MB."
        )


def _read(
    path: Path, source: Path, layers: tuple[str, ...], error_class: type[EuroMineError], option: str
) -> Any:
    """The features of the chosen layers of a file, which messages call `source`."""
    import pyogrio

    try:
        chosen = _layers(source, pyogrio.list_layers(path), layers, error_class, option)
        frames = [_read_layer(path, source, layer, error_class) for layer in chosen]
    except reading_errors() as error:
        raise _unreadable(path, source, error, error_class) from error
    return frames[0] if len(frames) == 1 else _joined(frames, source, error_class)


def reading_errors() -> tuple[type[Exception], ...]:
    """Errors of pyogrio for a damaged file."""
    import pyogrio
    import pyproj

    return (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        pyproj.exceptions.CRSError,
        UnicodeDecodeError,  # attributes in another encoding than the file claims
    )


def _read_layer(path: Path, source: Path, layer: str, error_class: type[EuroMineError]) -> Any:
    import pyogrio

    driver = pyogrio.read_info(path, layer=layer)["driver"]
    if driver in _POINTING_DRIVERS:
        raise error_class(
            f"{source}: found references to other files or servers ({driver}); expected the outlines "
            "themselves."
        )
    features = pyogrio.read_dataframe(path, layer=layer, on_invalid="ignore", force_2d=True)
    if features.geometry.isna().any():
        encoded = pyogrio.raw.read(path, layer=layer, columns=[], force_2d=True)[2]
        features.geometry = _repaired(features.geometry.array, encoded, source, error_class)
    return features


def _joined(frames: list[Any], source: Path, error_class: type[EuroMineError]) -> Any:
    """Layers one after the other, in the coordinate system of the first."""
    import pandas

    if len({frame.crs is None for frame in frames}) > 1:
        raise error_class(
            f"{source}: found layers with and without a coordinate system; expected one in each. Write it "
            "with `ogr2ogr -a_srs EPSG:...`."
        )
    first = frames[0]
    moved = [frame if frame.crs == first.crs else frame.to_crs(first.crs) for frame in frames]
    name = first.geometry.name
    named = [frame if frame.geometry.name == name else frame.rename_geometry(name) for frame in moved]
    return pandas.concat(named, ignore_index=True)


@contextmanager
def _apart(source: Path) -> Iterator[Path]:
    """A path of the file, in a temporary folder if GDAL would write something beside it."""
    is_gml = False
    if source.is_file():
        with source.open("rb") as file:
            is_gml = _GML_SIGN in file.read(_HEAD_BYTES)
    if not is_gml:
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="euromine-") as folder:
        # With its schema, if it has one.
        for each in (source, source.with_suffix(".xsd"), source.with_suffix(".gfs")):
            if each.is_file():
                _linked(each.resolve(), Path(folder) / each.name)
        yield Path(folder) / source.name


def _linked(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source)
    except OSError:  # links need a permission on Windows
        link_or_copy(source, target)


def _repaired(
    geometry: Any, encoded: NDArray[Any], source: Path, error_class: type[EuroMineError]
) -> NDArray[Any]:
    """Geometries; those that pyogrio could not read, such as open rings, are repaired from their WKB."""
    import shapely

    found = np.asarray(geometry, dtype=object).copy()
    lost = np.flatnonzero(
        [place is None and wkb is not None for place, wkb in zip(found, encoded, strict=True)]
    )
    if not len(lost):
        return found
    with suppress(ValueError, shapely.errors.ShapelyError):  # before shapely 2.1 there is no "fix"
        found[lost] = shapely.from_wkb(encoded[lost], on_invalid="fix")
    still = np.array([place for place in lost if found[place] is None or found[place].is_empty], int)
    if len(still):
        raise error_class(
            f"{source}: found an outline that cannot be read in {shown_features(still)}, such as a ring that "
            "is not closed; expected whole outlines. Repair them in a GIS."
        )
    logger.warning("%s: closed or repaired the outlines of %s.", source, shown_features(lost))
    return found


def _unreadable(
    path: Path, source: Path, error: Exception, error_class: type[EuroMineError]
) -> EuroMineError:
    reason = (
        " ".join(str(error).split()).removeprefix(f"{path}: ").replace(str(path), str(source)).rstrip(".")
    )
    return error_class(
        f"{source}: found no readable outlines ({reason}); expected a vector format such as GeoPackage, "
        "GeoJSON or a shapefile."
    )


def _layers(
    source: Path,
    layers: NDArray[Any],
    asked: tuple[str, ...],
    error_class: type[EuroMineError],
    option: str,
) -> list[str]:
    """The layers to read: those asked for, or the only one that can hold outlines."""
    names = [str(name) for name, _ in layers]
    for layer in asked:
        if layer not in names:
            raise error_class(f"{source}: found no layer {layer!r}; expected one of {', '.join(names)}.")
    if asked:
        return list(dict.fromkeys(asked))
    spatial = [str(name) for name, kind in layers if kind is not None]
    outlines = [
        str(name)
        for name, kind in layers
        if kind is not None
        and any(word in str(kind) for word in ("Polygon", "Surface", "Unknown", "Collection"))
    ]
    if not spatial:
        raise error_class(f"{source}: found a table without geometries; expected outlines (polygons).")
    candidates = outlines or spatial
    if len(candidates) > 1:
        advice = f" Choose one or several with {option} {shlex.quote(candidates[0])}." if option else ""
        raise error_class(
            f"{source}: found the layers {', '.join(candidates)}; expected a file with one layer of outlines."
            + advice
        )
    return candidates


def checked_geometries(
    features: Any, source: Path, error_class: type[EuroMineError] = DataError
) -> NDArray[Any]:
    """The geometries of features, in two dimensions.

    Args:
        features: The result of `read_features`.
        source: The file, for errors.
        error_class: The error to raise.

    Raises:
        DataError: (`error_class`) There is no coordinate system, or a corner is no number.
    """
    import shapely

    if features.crs is None:
        raise error_class(
            f"{source}: found no coordinate system; expected one in the file. Write it with `ogr2ogr -a_srs "
            "EPSG:...`."
        )
    geometries: NDArray[Any] = shapely.force_2d(np.asarray(features.geometry.array, dtype=object))
    corners, owners = shapely.get_coordinates(geometries, return_index=True)
    broken = np.unique(owners[~np.isfinite(corners).all(axis=1)])
    if len(broken):
        raise error_class(
            f"{source}: found corners that are no numbers in {shown_features(broken)}; expected finite "
            "coordinates."
        )
    return geometries


def shown_features(places: NDArray[Any]) -> str:
    """Features by their places in the file, counted from 1."""
    shown = ", ".join(str(place + 1) for place in places[:5])
    return (
        f"feature {shown}"
        if len(places) == 1
        else f"{len(places)} features ({shown}{', ...' * (len(places) > 5)})"
    )
