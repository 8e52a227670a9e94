"""Polygons of all maps as GeoParquet and GeoPackage, of which no more than one table is in memory."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from .vector_files import complete_file, geopackage_errors

# The beginning of a multipolygon of one polygon in well-known binary, before the polygon itself.
_MULTIPOLYGON = b"\x01\x06\x00\x00\x00\x01\x00\x00\x00"
# Polygons that are copied at once.
_COPIED = 4096
# Polygons that are read at once; a group of rows has fewer where it has half a million corners.
_READ = 2**16


def polygon_file_names(stem: str) -> list[str]:
    """The files that `write_tables` writes."""
    return [f"{stem}.gpkg", f"{stem}.parquet"]


def write_tables(tables: Iterable[Any], folder: Path, stem: str) -> list[str]:
    """Write polygons as GeoPackage and GeoParquet; a reader finds the old files or the new ones.

    Args:
        tables: `geopandas.GeoDataFrame`s with the same columns, of polygons, one or more. Each is taken once
            those before it are written.
        folder: The folder to write to.
        stem: The name of the files and of the GeoPackage's layer.

    Returns:
        The names of the files.

    Raises:
        OSError: A file cannot be written, is not whole on a full disk, or is open in another program.
    """
    names = polygon_file_names(stem)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{names[0]}.") as work:
        geopackage, parquet = (Path(work) / name for name in names)
        rows = _ParquetRows(parquet)
        try:
            for table in tables:
                _append(rows, table)
                del table  # before the next one is made
        finally:
            rows.close()
        _copy(parquet, geopackage, rows.crs, folder / names[0])
        for part in (geopackage, parquet):
            complete_file(part, folder / part.name, rows.number)
    return names


def read_tables(path: Path, columns: Sequence[str], wanted: Mapping[str, int | str]) -> Iterator[Any]:
    """Those polygons of a GeoParquet file that have certain values, some at a time.

    Args:
        path: The file, as `write_tables` writes it.
        columns: The columns to read beside the geometry.
        wanted: The value of each column that the polygons have to have.

    Yields:
        Parts of a `geopandas.GeoDataFrame` in the file's order, none of them empty.
    """
    import geopandas
    import shapely
    from pyarrow import compute, parquet

    # As categories, the many times the same name is kept once.
    with parquet.ParquetFile(path, read_dictionary=["site"]) as source:
        crs = _crs(source)
        groups = [group for group in range(source.num_row_groups) if _may_hold(source, group, wanted)]
        needed = [*dict.fromkeys([*columns, *wanted, "geometry"])]
        for batch in source.iter_batches(_READ, row_groups=groups, columns=needed):
            found = batch
            for name, value in wanted.items():
                found = found.filter(compute.equal(found[name], value))
            if not len(found):
                continue
            outlines = shapely.from_wkb(found["geometry"].to_numpy(zero_copy_only=False))
            yield geopandas.GeoDataFrame(found.select(columns).to_pandas(), geometry=outlines, crs=crs)


def stored_crs(path: Path) -> Any:
    """The coordinate system of a GeoParquet file as `write_tables` writes it, a `pyproj.CRS`."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as source:
        return _crs(source)


def _crs(source: Any) -> Any:
    from pyproj import CRS

    described = json.loads(source.metadata.metadata[b"geo"])
    return CRS.from_user_input(described["columns"]["geometry"]["crs"])


def _may_hold(source: Any, group: int, wanted: Mapping[str, int | str]) -> bool:
    """Whether a group of rows may hold some with these values."""
    rows = source.metadata.row_group(group)
    for name, value in wanted.items():
        known = rows.column(source.schema_arrow.get_field_index(name)).statistics
        if known is not None and known.has_min_max and not known.min <= value <= known.max:
            return False
    return True


class _ParquetRows:
    """A GeoParquet file to which tables are appended.

    Attributes:
        number: Rows so far.
        crs: The tables' `pyproj.CRS`.
    """

    def __init__(self, path: Path) -> None:
        self.number, self.crs = 0, None
        self._path = path
        self._writer: Any = None
        self._sample: Any = None
        self._bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])

    def append(self, table: Any) -> None:
        """Append a table as a group of rows."""
        import pyarrow
        from pyarrow import parquet

        arrow = pyarrow.table(table.to_arrow(index=False, geometry_encoding="WKB"))
        if self._writer is None:
            self.crs, self._sample = table.crs, table.iloc[:0].copy()
            # Without Arrow's own schema, readers find what is added at the end.
            self._writer = parquet.ParquetWriter(
                self._path, _plain(arrow.schema, table), compression="zstd", store_schema=False
            )
        if not len(table):
            return
        if not self.number:
            self._sample = table.iloc[:1].copy()  # a view would keep all rows
        schema = self._writer.schema
        columns = [column.cast(field.type) for column, field in zip(arrow.columns, schema, strict=True)]
        self._writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))
        self.number += len(table)
        left, bottom, right, top = table.total_bounds
        self._bounds[:2] = np.minimum(self._bounds[:2], (left, bottom))
        self._bounds[2:] = np.maximum(self._bounds[2:], (right, top))

    def close(self) -> None:
        """Complete the file, with geopandas' metadata."""
        if self._writer is None:
            return
        from pyarrow import parquet

        sample = BytesIO()
        self._sample.to_parquet(sample, index=False)
        metadata = dict(parquet.read_schema(sample).metadata)
        described = json.loads(metadata[b"geo"])
        if self.number:
            described["columns"]["geometry"]["bbox"] = self._bounds.tolist()
        self._writer.add_key_value_metadata({**metadata, b"geo": json.dumps(described).encode()})
        self._writer.close()


def _append(rows: _ParquetRows, table: Any) -> None:
    rows.append(table)


def _plain(schema: Any, table: Any) -> Any:
    """The schema of the file: geometries as bytes, and texts as such even in a table without rows."""
    import pyarrow
    from pandas.api.types import is_numeric_dtype

    def plain(field: Any) -> Any:
        if field.name == table.geometry.name:
            return pyarrow.field(field.name, pyarrow.binary())
        return pyarrow.field(
            field.name, field.type if is_numeric_dtype(table[field.name]) else pyarrow.string()
        )

    return pyarrow.schema([plain(field) for field in schema])


def _copy(parquet_file: Path, part: Path, crs: Any, target: Path) -> None:
    """Write the rows of a GeoParquet file as a GeoPackage, some at a time."""
    import pyarrow
    import pyogrio
    from pyarrow import compute, parquet

    code = crs.to_epsg()
    with parquet.ParquetFile(parquet_file) as source:
        *columns, _ = source.schema_arrow
        geometry = pyarrow.field(
            "geometry", pyarrow.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"}
        )
        schema = pyarrow.schema([*columns, geometry])

        def batches() -> Iterator[Any]:
            for batch in source.iter_batches(_COPIED):
                *values, polygons = batch.columns
                prefix = pyarrow.scalar(_MULTIPOLYGON, pyarrow.binary())
                joined = compute.binary_join_element_wise(
                    prefix, polygons, pyarrow.scalar(b"", pyarrow.binary())
                )
                yield pyarrow.record_batch([*values, joined], schema=schema)

        with geopackage_errors(target):
            pyogrio.write_arrow(
                pyarrow.RecordBatchReader.from_batches(schema, batches()),
                part,
                driver="GPKG",
                layer=part.stem,
                geometry_name="geometry",
                geometry_type="MultiPolygon",
                crs=f"EPSG:{code}" if code else crs.to_wkt("WKT1_GDAL"),
            )
