"""Built rows as memory-mapped datasets whose pixels are decoded when a row is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets.fingerprint import Hasher
from datasets.table import InMemoryTable
from numpy.typing import NDArray

from euromine.support.errors import ArgumentError, DatasetError

from .cells import (
    CellColumn,
    LazyColumn,
    decode_component_cells,
    decode_images,
    decode_labels,
    decode_radar_cells,
)
from .label_changes import change_between
from .pixel_references import PixelFeature, PixelReference, open_split, read_references

BLOB_COLUMNS = ("image", "label", "quicklook", "components", "radar")

PIXEL_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "annual": ("image", "label"),
    "series": ("images", "labels"),
    "pairs": ("images", "labels", "change"),
    "components": ("image", "label", "components", "radar"),
}

# Pixels that a config stores itself; the others are those of its annual rows.
_OWN_PIXELS = frozenset({"components", "radar"})

_DTYPES: Mapping[str, Any] = {
    **dict.fromkeys(("image", "images", "radar"), np.int16),
    "components": np.uint16,
    **dict.fromkeys(("label", "labels", "change"), np.uint8),
}

ROW_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "annual": ("row",),
    "series": ("rows",),
    "pairs": ("row_1", "row_2"),
    "components": ("row",),
}


# Rows of the config itself.
_OWN_ROW = "own_row"


def decoded_view(
    index: datasets.Dataset,
    annual: datasets.Dataset,
    config: str,
    years: frozenset[int] | None,
    wanted: tuple[str, ...],
) -> datasets.Dataset:
    """The small columns of `index`, decoded by a transform that reads the pixels of `annual`."""
    table = index.data.table
    numbers = pa.array(np.arange(len(table)), pa.int64())
    if config == "annual":
        table = table.append_column("row", numbers)
    elif config == "components":
        table = table.append_column(_OWN_ROW, numbers)
    kept = [name for name in table.column_names if name not in BLOB_COLUMNS]
    table = table.select(kept).combine_chunks()
    if config != "annual":
        _check_rows(table, annual, config)
    if years is not None:
        table = _of_years(table, config, years, index.split)
    references = _references(table, config, open_split(annual._fingerprint, Pixels(annual)))
    own_references = references
    if config == "components":
        own = open_split(index._fingerprint, ComponentPixels(index))
        own_references = _references_to(table.column(_OWN_ROW).combine_chunks(), own)
    hidden = {*ROW_COLUMNS[config], _OWN_ROW}
    small = [name for name in kept if name in wanted and name not in hidden]
    table = table.select(small)
    features = datasets.Features.from_arrow_schema(table.schema)
    for name in PIXEL_COLUMNS[config]:
        if name in wanted:
            table = table.append_column(name, own_references if name in _OWN_PIXELS else references)
            features[name] = PixelFeature(name)
    asked = (index._fingerprint, annual._fingerprint, config, sorted(years or ()), wanted)
    rows = datasets.Dataset(
        _SmallTable(table),
        info=datasets.DatasetInfo(features=features),
        split=index.split,
        fingerprint=Hasher.hash(asked),
    )
    return rows.with_transform(PixelTransform(config))


def _references(table: pa.Table, config: str, source: int) -> pa.Array:
    """The cells of a column of pixels: the annual split and the row or rows in it."""
    if config in ("annual", "components"):
        rows = table.column("row").combine_chunks()
    elif config == "series":
        lists = table.column("rows").combine_chunks()
        rows = pa.ListArray.from_arrays(lists.offsets, lists.values.cast(pa.int64()))
    else:
        ends = np.stack([table.column(name).to_numpy() for name in ROW_COLUMNS[config]], axis=1)
        rows = pa.ListArray.from_arrays(
            pa.array(np.arange(0, ends.size + 1, 2), pa.int32()), pa.array(ends.ravel(), pa.int64())
        )
    return _references_to(rows, source)


def _references_to(rows: pa.Array, source: int) -> pa.Array:
    sources = pa.array(np.full(len(rows), source), pa.int64())
    return pa.StructArray.from_arrays([sources, rows], names=["source", "rows"])


def _check_rows(table: pa.Table, annual: datasets.Dataset, config: str) -> None:
    """Raise `DatasetError` if the row numbers of a config lead to rows of other patches."""
    owners = table.column("patch_id").combine_chunks()
    annual_ids = annual.data.column("patch_id")
    for name in ROW_COLUMNS[config]:
        rows = table.column(name).combine_chunks()
        expected = owners
        if config == "series":
            expected = owners.take(pc.list_parent_indices(rows))
            rows = rows.flatten()
        if len(rows) == 0:
            continue
        if pc.max(rows).as_py() >= len(annual) or annual_ids.take(rows) != pa.chunked_array([expected]):
            raise DatasetError(
                f"{config}: found row numbers of other patches in split '{annual.split}'; expected "
                "configs of one build."
            )


def _of_years(table: pa.Table, config: str, years: frozenset[int], split: Any) -> pa.Table:
    """The rows of a config restricted to some years."""
    chosen = pa.array(sorted(years), pa.int32())
    if config == "series":
        restricted = _series_of_years(table, chosen)
    else:
        restricted = table
        for name in ("year_1", "year_2") if config == "pairs" else ("year",):
            restricted = restricted.filter(pc.is_in(restricted.column(name), chosen))
    if len(table) and not len(restricted):
        raise ArgumentError(
            f"years: found {', '.join(map(str, sorted(years))) or 'none'}; expected some of the "
            f"years for which split '{split}' has {config} rows."
        )
    return restricted.combine_chunks()


def _series_of_years(table: pa.Table, chosen: pa.Array) -> pa.Table:
    """Series without the years that were not chosen, and without those patches that have none left."""
    years = table.column("years").combine_chunks()
    kept = pc.is_in(years.flatten(), chosen)
    owners = pc.list_parent_indices(years).filter(kept).to_numpy()
    lengths = np.bincount(owners, minlength=len(table))
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    for name in ("years", "rows"):
        column = table.column(name).combine_chunks()
        values = pa.ListArray.from_arrays(offsets, column.flatten().filter(kept), type=column.type)
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
    return table.filter(pa.array(lengths > 0))


@dataclass(frozen=True)
class PixelTransform:
    """The transform that `datasets` calls with some rows: reads the pixels that they refer to.

    Attributes:
        config: The config of the rows.
    """

    config: str

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch with pixels in place of references; pixels that `map` has stored are kept."""
        for name in PIXEL_COLUMNS[self.config]:
            if name in batch:
                batch[name] = _read(name, batch[name])
        return batch


def _read(name: str, cells: Sequence[Any]) -> Sequence[Any]:
    """The pixels of the cells of a column, or of batches of them."""
    first = cells[0] if len(cells) else None
    if isinstance(first, PixelReference):
        return read_references(cells)
    if isinstance(first, list) and first and isinstance(first[0], PixelReference):
        return [list(_read(name, batch)) for batch in cells]
    return [_as_pixels(cell, _DTYPES[name]) for cell in cells]


class Pixels:
    """Images and labels of one `annual` split by rows."""

    def __init__(self, annual: datasets.Dataset) -> None:
        self._annual = annual
        self._images = CellColumn(_filled_chunks(annual, "image"), decode_images)
        self._labels = CellColumn(_filled_chunks(annual, "label"), decode_labels)

    def __reduce__(self) -> tuple[type[Pixels], tuple[datasets.Dataset]]:
        # A memory-mapped dataset travels to a worker as the path of its file.
        return type(self), (self._annual,)

    def __deepcopy__(self, memo: dict[int, Any]) -> Pixels:
        return self  # immutable, and `datasets` copies it at each filter, shuffle and select

    def image(self, rows: Sequence[int]) -> list[NDArray[np.int16]]:
        """One view (10, 160, 160) per annual row."""
        return self._images[rows]

    def label(self, rows: Sequence[int]) -> list[NDArray[np.uint8]]:
        """One view (160, 160) per annual row."""
        return self._labels[rows]

    def images(self, rows: Sequence[Sequence[int]]) -> LazyColumn:
        """One stack (years, 10, 160, 160) per series or pair of annual rows."""
        return LazyColumn(lambda years: stack_cells(self._images[years]), rows)

    def labels(self, rows: Sequence[Sequence[int]]) -> LazyColumn:
        """One stack (years, 160, 160) per series or pair of annual rows."""
        return LazyColumn(lambda years: stack_cells(self._labels[years]), rows)

    def change(self, rows: Sequence[Sequence[int]]) -> LazyColumn:
        """One (160, 160) per pair of annual rows."""
        return LazyColumn(lambda years: change_between(*self._labels[years]), rows)


class ComponentPixels:
    """Components and radar of one `components` split by rows."""

    def __init__(self, split: datasets.Dataset) -> None:
        self._split = split
        self._components = CellColumn(_filled_chunks(split, "components"), decode_component_cells)
        self._radar = CellColumn(_filled_chunks(split, "radar"), decode_radar_cells)

    def __reduce__(self) -> tuple[type[ComponentPixels], tuple[datasets.Dataset]]:
        # As of `Pixels`.
        return type(self), (self._split,)

    def __deepcopy__(self, memo: dict[int, Any]) -> ComponentPixels:
        return self

    def components(self, rows: Sequence[int]) -> list[NDArray[np.uint16]]:
        """One (160, 160) per row."""
        return self._components[rows]

    def radar(self, rows: Sequence[int]) -> list[NDArray[np.int16]]:
        """One (2, 160, 160) per row."""
        return self._radar[rows]


def _as_pixels(cell: Any, dtype: Any) -> NDArray[Any]:
    """Stored lists as an array: of the usual type if they are integers that fit, else of NumPy's choice."""
    pixels = np.asarray(cell)
    if pixels.dtype.kind not in "iu" or not pixels.size:
        return pixels
    limits = np.iinfo(dtype)
    fits = limits.min <= pixels.min() and pixels.max() <= limits.max
    return pixels.astype(dtype) if fits else pixels


def _filled_chunks(annual: datasets.Dataset, name: str) -> list[pa.Array]:
    return [chunk for chunk in annual.data.column(name).chunks if len(chunk)]


def stack_cells(cells: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """`np.stack` of integer arrays of one shape, independent of their addresses.

    A plain copy is the C library's `memcpy`, in glibc a single instruction (`rep movsb`). On AMD's Zen 4 it
    takes a quarter longer unless the addresses of source and copy agree modulo 32, and three times as long
    where they nearly agree modulo 4,096; cells lie anywhere in their file. Converting signed to unsigned
    integers of the same size copies the bits in a loop of NumPy's own.
    """
    first = cells[0]
    if not first.flags.c_contiguous:  # row by row anyway
        return np.concatenate(cells).reshape(len(cells), *first.shape)
    stacked = np.empty((len(cells), *first.shape), first.dtype)
    converted = stacked.view(_OTHER_SIGN[first.dtype.char]).reshape(-1, *first.shape[1:])
    np.concatenate(cells, out=converted, casting="unsafe")
    return stacked


_OTHER_SIGN = {"h": np.uint16, "H": np.int16, "B": np.int8}


class _SmallTable(InMemoryTable):
    """A table in memory whose rows are gathered at once.

    `datasets` slices rows one by one, because gathering blobs would copy them; here there are none, and
    slices cost more than the copy of an image.
    """

    def fast_gather(self, indices: Any) -> pa.Table:
        """The rows at `indices`, in their order."""
        return self.table.take(pa.array(indices, pa.int64()))

    def replace_schema_metadata(self, *args: Any, **kwargs: Any) -> _SmallTable:
        """As of any table; `Dataset` calls it, and would be left with a table of another class."""
        return type(self)(self.table.replace_schema_metadata(*args, **kwargs))
