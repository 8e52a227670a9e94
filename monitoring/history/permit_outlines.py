"""The outlines of permits, read from vector files of any format."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.support.errors import PermitError

from .polygon_measures import polygon_parts
from .vector_files import require_geopandas

logger = logging.getLogger(__name__)

# Straight edges bend in another projection: over steps of a kilometre by less than a centimetre.
_STEP_IN_METRES = 1000.0
_METRES_PER_DEGREE = 111_320.0

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
_POINTING_SIGNS = (b"<OGRVRTDataSource", b"<OGRWFSDataSource", b"<VRTDataset", b"gdal_streamed_alg")
_HEAD_BYTES = 1 << 16


def read_permits(path: str | os.PathLike[str], crs: Any, *, layer: str | None = None) -> Any:
    """Read the outlines of permits, and bring them to the coordinate system of a series.

    Outlines that cross themselves are repaired; points and lines are left out with a warning.

    Args:
        path: A file in any vector format that GDAL reads, including zipped shapefiles, or GeoParquet.
        crs: The coordinate system of the series, in any form that pyproj takes.
        layer: The layer to read, if a file has several with outlines.

    Returns:
        A `geopandas.GeoDataFrame` with the file's columns and one valid polygon per row; `permit` is the
        index of the feature in the file, from 0.

    Raises:
        PermitError: The file cannot be read, has no coordinate system, no outlines or several layers of them.
        FileNotFoundError: There is no such file.
        MissingExtraError: geopandas is not installed.
    """
    require_geopandas()
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"{path}: there is no such file; expected the outlines of permits.")
    features = _read_features(source, layer)
    if features.crs is None:
        raise PermitError(
            f"{path}: found no coordinate system; expected one in the file. Write it with `ogr2ogr -a_srs "
            "EPSG:...`."
        )
    return _reprojected(_outlines(features, source), crs, source)


def _outlines(features: Any, source: Path) -> Any:
    """One valid polygon per row, with the columns and the index of its feature."""
    import geopandas
    import shapely

    geometry = shapely.force_2d(np.asarray(features.geometry.array, dtype=object))
    parts, owners = polygon_parts(geometry)
    if not len(parts):
        kinds = sorted({kind for kind in features.geometry.geom_type if kind})
        raise PermitError(
            f"{source}: found {'only ' + ', '.join(kinds) if kinds else 'no geometries'}; expected outlines "
            "(polygons)."
        )
    others = int((~shapely.is_missing(geometry)).sum()) - len(np.unique(owners))
    if others:
        logger.warning(
            "%s: left out %d of %d features, which are not polygons.", source, others, len(features)
        )
    columns = features.drop(columns=features.geometry.name).iloc[owners].reset_index(drop=True)
    return geopandas.GeoDataFrame(
        {**{name: columns[name] for name in columns.columns}, "permit": owners},
        geometry=list(parts),
        crs=features.crs,
    )


def _reprojected(outlines: Any, crs: Any, source: Path) -> Any:
    """Outlines in another coordinate system, still valid."""
    import pyproj
    import shapely

    target = pyproj.CRS.from_user_input(crs)
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
        raise PermitError(
            f"{source}: found outlines in {outlines.crs.name} where {target.name} is not defined; expected "
            "permits near the scene."
        )
    # In another coordinate system an outline may touch itself.
    parts, owners = polygon_parts(moved.geometry.array)
    moved = moved.iloc[owners].reset_index(drop=True)
    moved.geometry = parts
    return moved


def _read_features(source: Path, layer: str | None) -> Any:
    """The features of a file that does not refer to other files."""
    import geopandas
    import pyarrow
    import pyogrio
    import pyproj

    if source.is_file():
        with source.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if not head:
            raise PermitError(f"{source}: found an empty file; expected the outlines of permits.")
        if any(sign in head for sign in _POINTING_SIGNS):
            raise PermitError(
                f"{source}: found references to other files or servers; expected the outlines themselves."
            )
    if source.suffix.lower() in (".parquet", ".geoparquet"):
        try:
            return geopandas.read_parquet(source)
        except (ValueError, OSError, pyarrow.ArrowException) as error:
            raise _unreadable(source, error) from error
    try:
        chosen = _layer(source, pyogrio.list_layers(source), layer)
        driver = pyogrio.read_info(source, layer=chosen)["driver"]
        if driver in _POINTING_DRIVERS:
            raise PermitError(
                f"{source}: found references to other files or servers ({driver}); expected the outlines "
                "themselves."
            )
        return pyogrio.read_dataframe(source, layer=chosen, on_invalid="ignore", force_2d=True)
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        pyproj.exceptions.CRSError,
        UnicodeDecodeError,  # attributes in another encoding than the file claims
    ) as error:
        raise _unreadable(source, error) from error


def _unreadable(source: Path, error: Exception) -> PermitError:
    reason = " ".join(str(error).split()).removeprefix(f"{source}: ").rstrip(".")
    return PermitError(
        f"{source}: found no readable outlines ({reason}); expected a vector format such as GeoPackage, "
        "GeoJSON or a shapefile."
    )


def _layer(source: Path, layers: NDArray[Any], layer: str | None) -> str:
    """The layer to read: the requested one, or the only one that can hold outlines."""
    names = [str(name) for name, _ in layers]
    if layer is not None:
        if layer not in names:
            raise PermitError(f"{source}: found no layer {layer!r}; expected one of {', '.join(names)}.")
        return layer
    spatial = [str(name) for name, kind in layers if kind is not None]
    outlines = [
        str(name)
        for name, kind in layers
        if kind is not None
        and any(word in str(kind) for word in ("Polygon", "Surface", "Unknown", "Collection"))
    ]
    if not spatial:
        raise PermitError(f"{source}: found a table without geometries; expected outlines (polygons).")
    candidates = outlines or spatial
    if len(candidates) > 1:
        raise PermitError(
            f"{source}: found the layers {', '.join(candidates)}; expected a file with one layer of outlines."
        )
    return candidates[0]
