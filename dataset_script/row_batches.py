"""Annual rows and pairs read as stacked batches, by a plain loop or by a DataLoader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from euromine.support.errors import ArgumentError

from .label_changes import change_between
from .pixel_references import RowReader
from .row_views import PIXEL_COLUMNS, PixelTransform, stack_cells

# The pixels of annual rows that each column holds.
_KINDS = {"image": "image", "images": "image", "label": "label", "labels": "label", "change": "label"}


class StackedRows:
    """Annual rows or pairs for a DataLoader, read and stacked a batch at a time.

    A DataLoader hands its `collate_fn` the stacked batch, a dictionary of arrays, in place of a list of rows:

        DataLoader(StackedRows(rows), batch_size=32, shuffle=True, collate_fn=default_convert)

    Handling rows one by one takes half as long again as copying their pixels.

    Args:
        dataset: One split of `read_dataset(..., "annual")` or `(..., "pairs")`, also filtered, selected or
            shuffled.
        columns: Entries to read; default all of the dataset.

    Raises:
        ArgumentError: `dataset` holds other rows, pixels that `map` has written, or no such column.
    """

    def __init__(self, dataset: datasets.Dataset, columns: Iterable[str] | None = None) -> None:
        table, config = _table_of(dataset, None if columns is None else tuple(columns))
        self._dataset, self._columns = dataset, table.column_names
        pixels = [name for name in PIXEL_COLUMNS[config] if name in table.column_names]
        self._length = len(table)
        self._are_pairs = config == "pairs"
        self._readers = _row_readers({name: table.column(name).combine_chunks() for name in pixels})
        self._small = _as_arrays(table.drop_columns(pixels))

    def __reduce__(self) -> tuple[type[StackedRows], tuple[datasets.Dataset, list[str]]]:
        # The dataset travels to a worker as the path of its file.
        return type(self), (self._dataset, self._columns)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, row: int) -> dict[str, Any]:
        """One row, not stacked."""
        return {name: values[0] for name, values in self.__getitems__([row]).items()}

    def __getitems__(self, rows: Sequence[int] | NDArray[np.int64]) -> dict[str, Any]:
        """A batch, by the name of torch's protocol for datasets that read several rows at once.

        Args:
            rows: Numbers of rows, in any order.

        Returns:
            Annual rows: `image` int16 (batch, 10, 160, 160) and `label` uint8 (batch, 160, 160). Pairs:
            `images` int16 (batch, 2, 10, 160, 160), `labels` uint8 (batch, 2, 160, 160) and `change` uint8
            (batch, 160, 160). All are copies of their own; numbers are arrays, strings object arrays.
        """
        rows = np.asarray(rows, np.int64)
        batch: dict[str, Any] = {name: values[rows] for name, values in self._small.items()}
        cells = (2 * rows[:, None] + np.arange(2)).ravel() if self._are_pairs else rows
        for names, read in self._readers:
            stacked = {kind: stack_cells(pixels) for kind, pixels in read(cells).items()}
            batch.update((name, _column_of(name, stacked)) for name in names)
        return batch


def read_batches(
    dataset: datasets.Dataset, batch_size: int = 32, *, seed: int | None = None, drop_last: bool = False
) -> Iterator[dict[str, Any]]:
    """Read batches of annual rows or pairs, about as fast as copying pixels out of a raw memory map.

    For loops without a DataLoader; for one, see `StackedRows`.

    Args:
        dataset: One split of `read_dataset(..., "annual")` or `(..., "pairs")`, also filtered, selected or
            shuffled.
        batch_size: Rows per batch.
        seed: Seed of the order; by default the dataset's own order.
        drop_last: Leave out the last batch if it is smaller.

    Yields:
        The entries of the rows, stacked, as of `StackedRows.__getitems__`.

    Raises:
        ArgumentError: `dataset` holds other rows, or `batch_size` is below 1.
    """
    rows = StackedRows(dataset)
    if batch_size < 1:
        raise ArgumentError(f"batch_size: found {batch_size}; expected at least 1.")
    order = np.arange(len(rows)) if seed is None else np.random.default_rng(seed).permutation(len(rows))
    end = len(rows) - len(rows) % batch_size if drop_last else len(rows)
    for start in range(0, end, batch_size):
        # Not kept here: the memory of a batch that the caller is done with serves the next one.
        yield rows.__getitems__(order[start : start + batch_size])


def _table_of(dataset: datasets.Dataset, columns: Sequence[str] | None) -> tuple[pa.Table, str]:
    """The small columns of rows and the references of their pixels, and the rows' config."""
    transform = dataset.format["format_kwargs"].get("transform")
    if not isinstance(transform, PixelTransform) or transform.config not in ("annual", "pairs"):
        raise ArgumentError(
            "dataset: found other rows than annual ones and pairs; expected one split of read_dataset(..., "
            "'annual') or of read_dataset(..., 'pairs')."
        )
    if unknown := [name for name in columns or () if name not in dataset.column_names]:
        raise ArgumentError(
            f"columns: found {', '.join(map(repr, unknown))}; expected some of those of the dataset: "
            f"{', '.join(dataset.column_names)}."
        )
    table = dataset.with_format("arrow")[:]
    if columns is not None:
        table = table.select(list(columns))
    pixels = [name for name in PIXEL_COLUMNS[transform.config] if name in table.column_names]
    if stored := [name for name in pixels if not pa.types.is_struct(table.schema.field(name).type)]:
        raise ArgumentError(
            f"dataset: found {' and '.join(stored)} written by map; expected pixels as they were built. Loop "
            "over the dataset itself to read what map wrote."
        )
    return table, transform.config


def _row_readers(columns: Mapping[str, pa.StructArray]) -> list[tuple[list[str], RowReader]]:
    """One reader of all columns of pixels where they refer to the same rows, else one of each."""
    cells = list(columns.values())
    if cells and all(each.equals(cells[0]) for each in cells):
        return [(list(columns), _row_reader(list(columns), cells[0]))]
    return [([name], _row_reader([name], each)) for name, each in columns.items()]


def _row_reader(names: Sequence[str], references: pa.StructArray) -> RowReader:
    """The reader of the annual rows of columns; both rows of a pair in turn."""
    rows = references.field("rows")
    if pa.types.is_list(rows.type):
        sources = np.repeat(references.field("source").to_numpy(), 2)
        references = pa.StructArray.from_arrays([pa.array(sources), rows.flatten()], ["source", "rows"])
    return RowReader(sorted({_KINDS[name] for name in names}), references)


def _column_of(name: str, stacked: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """A column of pixels, from the stacked images or labels of annual rows."""
    pixels = stacked[_KINDS[name]]
    if name in PIXEL_COLUMNS["annual"]:
        return pixels
    pairs = pixels.reshape(-1, 2, *pixels.shape[1:])
    return change_between(pairs[:, 0], pairs[:, 1]) if name == "change" else pairs


def _as_arrays(table: pa.Table) -> dict[str, NDArray[Any]]:
    """The small columns of rows; lists as (rows, length), strings as objects."""
    columns = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if pa.types.is_list(column.type):
            columns[name] = column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)
        else:
            columns[name] = column.to_numpy(zero_copy_only=False)
    return columns
