"""Polygons as GeoPackage and GeoParquet files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from euromine.support.errors import ArgumentError, MissingExtraError

_SUFFIXES = (".gpkg", ".parquet")


def require_geopandas() -> Any:
    """The module geopandas.

    Raises:
        MissingExtraError: geopandas or one of its dependencies is not installed.
    """
    try:
        import geopandas
        import pyogrio  # noqa: F401 - geopandas reads and writes files with it
        import pyproj  # noqa: F401
        import shapely  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"polygons: found no {error.name or 'geopandas'} on this machine; expected the extra `polygons`. "
            "Install it with pip install 'euromine[polygons]'."
        ) from None
    return geopandas


def write_polygons(frame: Any, path: str | os.PathLike[str]) -> None:
    """Write polygons as GeoPackage or GeoParquet, at once: a reader finds the old file or the new one.

    Args:
        frame: A `geopandas.GeoDataFrame`, which may be empty.
        path: A file whose name ends in .gpkg or .parquet, in a folder that exists. A GeoPackage has one layer
            of multipolygons, named like the file.

    Raises:
        ArgumentError: The name has another suffix.
        OSError: The file cannot be written.
    """
    target = Path(path)
    if target.suffix not in _SUFFIXES:
        raise ArgumentError(f"path: found {target.name}; expected a name in {' or '.join(_SUFFIXES)}.")
    # A folder rather than a temporary file: SQLite keeps its journal beside the GeoPackage, and GDAL wants
    # the name to end in .gpkg.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        part = Path(folder) / target.name
        if target.suffix == ".parquet":
            frame.to_parquet(part, index=False, compression="zstd")
        else:
            _write_geopackage(frame, part, target)
        part.replace(target)


def _write_geopackage(frame: Any, part: Path, target: Path) -> None:
    import pyogrio

    try:
        pyogrio.write_dataframe(
            frame,
            part,
            driver="GPKG",
            layer=target.stem,
            geometry_type="MultiPolygon",
            promote_to_multi=True,
        )
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise OSError(f"{target}: cannot be written ({str(error).rstrip('.')}).") from error
