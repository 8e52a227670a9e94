"""Tables and polygons of a series' folder, as a whole or, where they may be larger than memory, in parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas
from numpy.typing import NDArray
from pandas.errors import EmptyDataError, ParserError

from euromine.support.errors import DataError
from euromine.support.geopackages import check_is_geopackage, require_geopandas

# Rows of a table and outlines that are read at once.
_ROWS, _OUTLINES = 2**16, 2**14


def read_table(path: Path) -> pandas.DataFrame:
    """A table.

    Raises:
        DataError: It is damaged.
    """
    with _table_errors(path):
        return pandas.read_csv(path)


def table_parts(path: Path, texts: Sequence[str] = ()) -> Iterator[pandas.DataFrame]:
    """A table, some rows at a time, at least one part.

    Args:
        path: The table.
        texts: Columns that stay texts where all their cells are numbers.

    Raises:
        DataError: It is damaged; with the first part that is.
    """
    types: Any = dict.fromkeys(texts, str)
    with _table_errors(path), pandas.read_csv(path, chunksize=_ROWS, dtype=types) as parts:
        yield from parts


def read_geopackage(path: Path) -> Any:
    """A GeoPackage as a `geopandas.GeoDataFrame`.

    Raises:
        DataError: It is damaged, or is no GeoPackage: GDAL would guess its format, and some formats refer to
            other files or to servers.
        MissingExtraError: geopandas is not installed.
    """
    geopandas = require_geopandas()
    with _geopackage_errors(path):
        return geopandas.read_file(path, engine="pyogrio")


def outline_parts(path: Path, wanted: Mapping[str, int | str]) -> Iterator[NDArray[Any]]:
    """The outlines of a GeoPackage whose attributes have certain values, some at a time.

    Args:
        path: The file.
        wanted: The value of each of these columns, a number or a word.

    Yields:
        shapely geometries, in the file's order.

    Raises:
        DataError: As of `read_geopackage`, or a column is missing.
        MissingExtraError: geopandas is not installed.
    """
    require_geopandas()
    import pyogrio
    import shapely

    with _geopackage_errors(path):
        if missing := {*wanted} - {*pyogrio.read_info(path)["fields"]}:
            raise DataError(
                f"{path}: found no column {' and '.join(sorted(missing))}; expected {' and '.join(wanted)}. "
                "Run `euromine series` again."
            )
        # Python writes numbers and words as SQL does.
        where = " AND ".join(f'"{column}" = {value!r}' for column, value in wanted.items())
        with pyogrio.open_arrow(path, columns=[], where=where, batch_size=_OUTLINES, use_pyarrow=True) as (
            layer,
            batches,
        ):
            for batch in batches:
                binary = batch[layer["geometry_name"] or "wkb_geometry"]
                yield shapely.from_wkb(binary.to_numpy(zero_copy_only=False))


@contextmanager
def _table_errors(path: Path) -> Iterator[None]:
    """Raise the errors of pandas in the block as `DataError`."""
    try:
        yield
    except (ParserError, EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: found no table ({error}); expected comma-separated values. Run `euromine series` again."
        ) from None


@contextmanager
def _geopackage_errors(path: Path) -> Iterator[None]:
    """Refuse a file that is no GeoPackage, and raise the errors of pyogrio in the block as `DataError`."""
    import pyogrio

    try:
        check_is_geopackage(path)
        yield
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise DataError(
            f"{path}: found a damaged file ({error}); expected a GeoPackage. Run `euromine series` again."
        ) from error
