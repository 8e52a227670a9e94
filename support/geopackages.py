"""Prerequisites of reading and writing polygons: geopandas, and files that are GeoPackages."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .errors import DataError, EuroMineError, MissingExtraError, missing_extra

# The application ID of a GeoPackage among SQLite files: "GPKG".
_GEOPACKAGE = 0x47504B47


def require_geopandas(extra: str = "polygons") -> Any:
    """The module geopandas.

    Args:
        extra: The extra that installs it, for the message.

    Raises:
        MissingExtraError: geopandas or one of its dependencies is not installed.
    """
    try:
        # geopandas reads and writes files with pyogrio.
        geopandas, *_ = map(import_module, ("geopandas", "pyogrio", "pyproj", "shapely"))
    except ImportError as error:
        raise missing_extra(extra, error.name or "geopandas") from None
    return geopandas


def has_geopandas() -> bool:
    """Whether polygons can be read and written."""
    try:
        require_geopandas()
    except MissingExtraError:
        return False
    return True


def check_is_geopackage(
    path: Path,
    advice: str = "Run `euromine series` again.",
    error_class: type[EuroMineError] = DataError,
) -> None:
    """Refuse a file in which GDAL would find another format, or a table that lies elsewhere.

    Args:
        path: The file.
        advice: A sentence for the end of the message.
        error_class: The error to raise.

    Raises:
        DataError: (`error_class`) It is no GeoPackage, or has a virtual table other than those of its
            spatial index.
    """
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True)) as database:
            is_geopackage = database.execute("PRAGMA application_id").fetchone() == (_GEOPACKAGE,)
            definitions = database.execute(
                "SELECT sql FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%'"
            ).fetchall()
    except (sqlite3.Error, UnicodeDecodeError):  # names in a damaged file need not be text
        is_geopackage, definitions = False, []
    if not is_geopackage or not all("USING rtree(" in sql for (sql,) in definitions):
        raise error_class(
            f"{path}: found another format than GeoPackage, or a table that lies elsewhere; expected a "
            f"GeoPackage with the outlines themselves. {advice}"
        )
