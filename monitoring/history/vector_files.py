"""Polygons as GeoPackage and GeoParquet files."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from euromine.support.errors import ArgumentError
from euromine.support.files import torn_file_error

_SUFFIXES = (".gpkg", ".parquet")
# What SQLite keeps beside a database while a program has it open, or after that program died.
_COMPANIONS = ("-wal", "-journal")


def write_polygons(frame: Any, path: str | os.PathLike[str]) -> None:
    """Write polygons as GeoPackage or GeoParquet, at once: a reader finds the old file or the new one.

    Args:
        frame: A `geopandas.GeoDataFrame`, which may be empty.
        path: A file whose name ends in .gpkg or .parquet, in a folder that exists. A GeoPackage has one layer
            of multipolygons, named like the file.

    Raises:
        ArgumentError: The name has another suffix.
        OSError: The file cannot be written, is not whole on a full disk, or is open in another program.
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
        complete_file(part, target, len(frame))


def write_geopackage(frames: Iterable[Any], path: str | os.PathLike[str]) -> None:
    """Write polygons as a GeoPackage as `write_polygons` does, from tables of which one is in memory.

    Args:
        frames: `geopandas.GeoDataFrame`s with the same columns, one or more, which may be empty.
        path: As there, a file whose name ends in .gpkg.

    Raises:
        OSError: As there.
    """
    target = Path(path)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        part = Path(folder) / target.name
        number, empty = 0, None
        for frame in frames:
            if len(frame):
                _write_geopackage(frame, part, target, append=number > 0)
            else:
                empty = frame
            number += len(frame)
            del frame  # before the next one is made
        if not number:
            _write_geopackage(empty, part, target)
        complete_file(part, target, number)


def complete_file(part: Path, target: Path, features: int) -> None:
    """Check that a file of so many polygons is whole, and give it its name.

    Raises:
        OSError: It is not whole, or the file that it replaces is open in another program.
    """
    _check_whole(part, target, features)
    check_not_open(target)
    part.replace(target)


def polygons_digest(frame: Any | None) -> str | None:
    """A hash of a `geopandas.GeoDataFrame`, its polygons and columns; None without one."""
    if frame is None:
        return None
    content = hashlib.sha256(frame.drop(columns=frame.geometry.name).to_csv(index=False).encode())
    for outline in frame.geometry.to_wkb():
        content.update(outline)
    return content.hexdigest()


def check_not_open(path: Path) -> None:
    """Refuse to replace a GeoPackage whose latest changes are in a file beside it.

    SQLite would apply them to the new file and mix the pages of both.

    Raises:
        OSError: Another program has the file open, or died with it open.
    """
    if path.suffix != ".gpkg":
        return
    for companion in _COMPANIONS:
        beside = path.with_name(path.name + companion)
        if beside.exists():
            raise OSError(
                f"{path} is open in another program, or was left open by one that ended early "
                f"({beside.name} is beside it). Close it there, or open and close it once more."
            )


def is_whole_geopackage(path: Path) -> bool:
    """Whether SQLite finds a GeoPackage undamaged."""
    # Immutable, so that looking at a file neither changes it nor leaves anything beside it.
    address = f"file:{quote(str(path.absolute()))}?immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as database:
            is_intact = database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            layers = database.execute("SELECT table_name FROM gpkg_contents").fetchall()
    except sqlite3.Error:
        return False
    return is_intact and (path.stem,) in layers


def _check_whole(part: Path, target: Path, features: int) -> None:
    """Read a file back: GDAL does not report a full disk when it closes one."""
    if part.suffix == ".gpkg":
        import pyogrio

        try:
            is_whole = is_whole_geopackage(part) and pyogrio.read_info(part)["features"] == features
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError):
            is_whole = False
    else:
        import pyarrow
        from pyarrow import parquet

        try:
            is_whole = parquet.read_metadata(part).num_rows == features
        except (pyarrow.ArrowException, OSError):
            is_whole = False
    if not is_whole:
        raise torn_file_error(target)
    with part.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def geopackage_errors(target: Path) -> Iterator[None]:
    """Raise pyogrio's errors in the block as those of the operating system.

    Raises:
        OSError: A GeoPackage cannot be written.
    """
    import pyogrio

    try:
        yield
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise OSError(f"{target}: cannot be written ({str(error).rstrip('.')}).") from error


def _write_geopackage(frame: Any, part: Path, target: Path, *, append: bool = False) -> None:
    import pyogrio

    with geopackage_errors(target):
        pyogrio.write_dataframe(
            frame,
            part,
            driver="GPKG",
            layer=target.stem,
            geometry_type="MultiPolygon",
            promote_to_multi=True,
            append=append,
        )
