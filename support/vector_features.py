"""Features of vector files of unknown origin, in any format that GDAL reads."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, EuroMineError
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


def read_features(source: Path, layer: str | None, error_class: type[EuroMineError] = DataError) -> Any:
    """The features of a vector file of any format that holds its outlines itself.

    Args:
        source: The file, or a folder such as a file geodatabase.
        layer: The layer to read, if a file has several with outlines.
        error_class: The error to raise.

    Returns:
        A `geopandas.GeoDataFrame` with all features, which may have no coordinate system.

    Raises:
        DataError: (`error_class`) The file cannot be read, refers to other files, or has no such layer or
            several of them.
        OSError: There is no such file.
    """
    import geopandas
    import pyarrow
    import pyogrio
    import pyproj
    import shapely

    check_self_contained(source, error_class)
    if source.suffix.lower() in (".parquet", ".geoparquet"):
        try:
            return geopandas.read_parquet(source)
        except (ValueError, OSError, pyarrow.ArrowException, shapely.errors.ShapelyError) as error:
            raise _unreadable(source, error, error_class) from error
    try:
        chosen = _layer(source, pyogrio.list_layers(source), layer, error_class)
        driver = pyogrio.read_info(source, layer=chosen)["driver"]
        if driver in _POINTING_DRIVERS:
            raise error_class(
                f"{source}: found references to other files or servers ({driver}); expected the outlines "
                "themselves."
            )
        features = pyogrio.read_dataframe(source, layer=chosen, on_invalid="ignore", force_2d=True)
        if features.geometry.isna().any():
            encoded = pyogrio.raw.read(source, layer=chosen, columns=[], force_2d=True)[2]
            features.geometry = _repaired(features.geometry.array, encoded, source, error_class)
        return features
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        pyproj.exceptions.CRSError,
        UnicodeDecodeError,  # attributes in another encoding than the file claims
    ) as error:
        raise _unreadable(source, error, error_class) from error


def _repaired(
    geometry: Any, encoded: NDArray[Any], source: Path, error_class: type[EuroMineError]
) -> NDArray[Any]:
    """Geometries with those that were not read as they are, such as open rings, repaired from their WKB."""
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


def _unreadable(source: Path, error: Exception, error_class: type[EuroMineError]) -> EuroMineError:
    reason = " ".join(str(error).split()).removeprefix(f"{source}: ").rstrip(".")
    return error_class(
        f"{source}: found no readable outlines ({reason}); expected a vector format such as GeoPackage, "
        "GeoJSON or a shapefile."
    )


def _layer(source: Path, layers: NDArray[Any], layer: str | None, error_class: type[EuroMineError]) -> str:
    """The layer to read: the requested one, or the only one that can hold outlines."""
    names = [str(name) for name, _ in layers]
    if layer is not None:
        if layer not in names:
            raise error_class(f"{source}: found no layer {layer!r}; expected one of {', '.join(names)}.")
        return layer
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
        raise error_class(
            f"{source}: found the layers {', '.join(candidates)}; expected a file with one layer of outlines."
        )
    return candidates[0]


def shown_features(places: NDArray[Any]) -> str:
    """Features by their places in the file, counted from 1."""
    shown = ", ".join(str(place + 1) for place in places[:5])
    return (
        f"feature {shown}"
        if len(places) == 1
        else f"{len(places)} features ({shown}{', ...' * (len(places) > 5)})"
    )
