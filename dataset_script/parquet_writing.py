"""Parquet files of a dataset: zstd, a page for each cell of pixels, few rows to stream the first."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_PER_GROUP = 16
"""Annual rows per row group, which streaming fetches and decompresses for its first row."""

COMPRESSION_LEVEL = 3

# Blobs differ from cell to cell: dictionaries and statistics would only store them a second time.
_BLOBS = {"image", "label", "quicklook", "components", "radar"}

_PAGE_BYTES = 2**18


def parquet_writer(sink: pa.NativeFile, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of a dataset's parquet files, whose cells of pixels are pages of their own."""
    small = [name for name in schema.names if name not in _BLOBS]
    return pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=small,
        write_statistics=small,
        # One image per page, because the limit is checked after each batch: zstd is faster on pieces that
        # fit into the processor's cache, and a reader decompresses less for one row.
        data_page_size=_PAGE_BYTES,
        write_batch_size=1 if _BLOBS.intersection(schema.names) else None,
    )


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table as one file."""
    with pa.OSFile(str(path), "wb") as sink, parquet_writer(sink, table.schema) as writer:
        writer.write_table(table)
