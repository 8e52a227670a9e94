"""Rows to arrays: the built dataset with its images and labels decoded, year by year, as series or as pairs.

Nothing here needs rasterio or torch. Series and pairs are views of annual rows: they copy no pixels.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, groupby
from pathlib import Path
from typing import Any, TypeAlias, overload

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets.table import InMemoryTable
from numpy.typing import NDArray
from PIL import Image

from .archive import BANDS
from .builder import CONFIGS, FEATURES, change_counts, encode_label
from .patches import PATCH_SIZE

IMAGE_SHAPE = (len(BANDS), PATCH_SIZE, PATCH_SIZE)
LABEL_SHAPE = (PATCH_SIZE, PATCH_SIZE)
UNKNOWN = 255
"""The label of a pixel that nobody knows; a change from or to it is unknown too."""

_IMAGE_BYTES = int(np.prod(IMAGE_SHAPE)) * 2

# Labels that `encode_label` wrote hold their pixels uncompressed behind a header that is always the same.
_EMPTY_LABEL = encode_label(np.zeros(LABEL_SHAPE, np.uint8))
_LABEL_BYTES = len(_EMPTY_LABEL)
_LABEL_END = _LABEL_BYTES - (
    4 + 4 + 12
)  # checksums of the pixels and of their chunk; the chunk that ends the file
_LABEL_START = _LABEL_END - PATCH_SIZE * (PATCH_SIZE + 1)
_LABEL_HEADER = _EMPTY_LABEL[:_LABEL_START]
_LABEL_FILTERS = bytes(PATCH_SIZE)  # before each row of pixels: none

_BLOBS = ("image", "label", "quicklook")
_PIXELS: Mapping[str, tuple[str, ...]] = {
    "annual": ("image", "label"),
    "series": ("images", "labels"),
    "pairs": ("images", "labels", "change"),
}
_ROWS: Mapping[str, tuple[str, ...]] = {
    "annual": ("row",),
    "series": ("rows",),
    "pairs": ("row_1", "row_2"),
}

_Rows: TypeAlias = "datasets.Dataset | datasets.IterableDataset"
_RowsOfSplits: TypeAlias = "datasets.DatasetDict | datasets.IterableDatasetDict"


def read_dataset(
    source: str | os.PathLike[str],
    config: str = "annual",
    split: str | None = None,
    *,
    years: Iterable[int] | None = None,
    columns: Iterable[str] | None = None,
    revision: str | None = None,
    streaming: bool = False,
) -> _Rows | _RowsOfSplits:
    """The dataset with decoded rows.

    Rows are decoded when they are looked at:

    - annual: `image` int16 (10, 160, 160) and `label` uint8 (160, 160), both read-only views of the file:
      stack or copy them to change them;
    - series: `images` int16 (years, 10, 160, 160) and `labels` uint8 (years, 160, 160);
    - pairs: `images` int16 (2, 10, 160, 160), `labels` uint8 (2, 160, 160) and `change` uint8 (160, 160):
      0 the same in both years, 1 not, 255 unknown in one of them;

    and with them the other columns of `FEATURES[config]`, but for the quicklook and the numbers of rows.
    Labels are 0 other, 1 mine, 255 unknown. What is returned stays an ordinary dataset to filter, shuffle,
    select, or hand to a DataLoader with any kind of workers. Its own columns are the small ones, so that
    filtering decodes only what the filter asks for; `select_columns` therefore cannot name pixels: that is
    what `columns` here is for.

    Args:
        source: A folder that `euromine build` wrote, a Hub repository, or the bare name of either.
        config: `annual`, `series` or `pairs`.
        split: `train`, `validation`, `test`, or a part as in `train[:100]`; without it, all, by name.
        years: Only these years: of the annual rows, within each series, and of the pairs those between them.
        columns: Only these entries in the rows; the fewer, the faster.
        revision: Branch, tag or commit of a Hub repository.
        streaming: Read over the network or from the parquet files as they are, row after row, instead of
            through a memory-mapped copy. Series and pairs are then put together on the way.

    Returns:
        A `Dataset`, or a `DatasetDict` where no split is named; their iterable likes if streaming.

    Raises:
        ValueError: If an argument is not as expected, or the configs do not belong together.
        FileNotFoundError: If there is no such folder or repository.
    """
    if config not in CONFIGS:
        raise ValueError(f"There is no config '{config}'; expected one of {', '.join(CONFIGS)}.")
    wanted = _wanted_columns(config, columns)
    years = None if years is None else frozenset(int(year) for year in years)
    _check_source(source)

    whole_splits = split
    if config != "annual" and split is not None:
        whole_splits = _split_name(split, config)
    load = _Loader(source, revision, streaming)
    annual = load("annual", split if config == "annual" else whole_splits)
    if streaming:
        if whole_splits != split:
            raise ValueError(
                f"split is '{split}'; expected the name of a whole split when streaming {config}."
            )
        return _for_each_split(annual, lambda name: _stream(_of_split(annual, name), config, years, wanted))
    index = annual if config == "annual" else load(config, split)
    return _for_each_split(
        index, lambda name: _view(_of_split(index, name), _of_split(annual, name), config, years, wanted)
    )


def read_batches(
    dataset: datasets.Dataset, batch_size: int = 32, *, seed: int | None = None, drop_last: bool = False
) -> Iterator[dict[str, Any]]:
    """Batches of annual rows, read about as fast as pixels can be copied out of a raw memory map.

    For loops that need no DataLoader, whose handling of single rows takes as long again.

    Args:
        dataset: What `read_dataset` gave for `annual` and one split, filtered, selected or shuffled at will.
        batch_size: Rows of a batch.
        seed: Of the order; without it, rows come in the dataset's own.
        drop_last: Leave out the last batch if it is smaller.

    Yields:
        The entries of the rows, stacked: `image` int16 (batch, 10, 160, 160), `label` uint8 (batch, 160,
        160), numbers as arrays, strings as object arrays.

    Raises:
        ValueError: If `dataset` is another one, or `batch_size` is under 1.
    """
    transform = dataset.format["format_kwargs"].get("transform")
    if not isinstance(transform, _Transform) or transform.config != "annual":
        raise ValueError(
            "Batches are read from annual rows; expected one split of read_dataset(..., 'annual')."
        )
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; expected at least 1.")
    columns = _as_arrays(dataset.with_format("arrow")[:])
    rows = columns.pop("row")
    order = np.arange(len(rows)) if seed is None else np.random.default_rng(seed).permutation(len(rows))
    end = len(rows) - len(rows) % batch_size if drop_last else len(rows)
    for start in range(0, end, batch_size):
        chosen = order[start : start + batch_size]
        pixels = transform.pixels_of(rows[chosen].tolist())
        # Not kept here: the memory of a batch that the caller is done with serves the next one.
        yield {
            **{name: values[chosen] for name, values in columns.items()},
            **{name: _stack(cells) for name, cells in pixels.items()},
        }


def decode_image(data: Any) -> NDArray[np.int16]:
    """An `image` cell as int16 (10, 160, 160), a read-only view.

    Args:
        data: The bytes of the cell, or anything with a buffer.

    Raises:
        ValueError: If there are not as many bytes as an image has.
    """
    values = np.frombuffer(data, dtype=np.uint8)
    if values.size != _IMAGE_BYTES:
        raise ValueError(
            f"An image cell holds {values.size} bytes; expected {_IMAGE_BYTES} (int16 {IMAGE_SHAPE})."
        )
    return values.view("<i2").reshape(IMAGE_SHAPE)


def decode_label(data: Any) -> NDArray[np.uint8]:
    """A `label` cell as uint8 (160, 160): 0 other, 1 mine, 255 unknown.

    What `encode_label` wrote needs no decoding: a read-only view is returned. Any other picture is decoded.

    Args:
        data: The bytes of a PNG, or anything with a buffer.

    Raises:
        ValueError: If this is no picture of one channel and 160 x 160 pixels.
    """
    values = np.frombuffer(data, dtype=np.uint8)
    if values.size == _LABEL_BYTES and values[:_LABEL_START].tobytes() == _LABEL_HEADER:
        rows = values[_LABEL_START:_LABEL_END].reshape(PATCH_SIZE, PATCH_SIZE + 1)
        if rows[:, 0].tobytes() == _LABEL_FILTERS:
            return rows[:, 1:]
    try:
        label = np.asarray(Image.open(io.BytesIO(values.tobytes())))
    except OSError as error:
        raise ValueError(f"A label cell of {values.size} bytes is no picture; expected a PNG.") from error
    if label.shape != LABEL_SHAPE or label.dtype != np.uint8:
        raise ValueError(f"A label is {label.dtype} {label.shape}; expected uint8 {LABEL_SHAPE}.")
    return label


def change_between(label_1: NDArray[np.uint8], label_2: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Where two labels differ: 0 no, 1 yes, 255 where either is unknown.

    Args:
        label_1: Label of the earlier year, uint8 0/1/255, any shape.
        label_2: Label of the later year.
    """
    change = (label_1 != label_2).astype(np.uint8)
    change[(label_1 == UNKNOWN) | (label_2 == UNKNOWN)] = UNKNOWN
    return change


class LazyColumn(Sequence[Any]):
    """A column whose cells are read when they are asked for, and never kept.

    `dataset[:1000]["images"]` would otherwise be five gigabytes before anyone looked at the first.
    """

    def __init__(self, read: Callable[[Any], Any], keys: Sequence[Any]) -> None:
        self._read = read
        self._keys = keys

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self._read(key) for key in self._keys[index]]
        return self._read(self._keys[index])

    def __iter__(self) -> Iterator[Any]:
        return map(self._read, self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class _Column:
    """A binary column of an annual split by rows, as views of its Arrow memory.

    A pyarrow scalar copies its bytes; these views read straight from the memory-mapped file.
    """

    def __init__(
        self, chunks: Sequence[pa.Array], decode: Callable[[pa.Array], Sequence[NDArray[Any]]]
    ) -> None:
        self._chunks = chunks
        self._decode = decode
        self._decoded: list[Sequence[NDArray[Any]] | None] = [None] * len(chunks)
        self._ends = np.cumsum([len(chunk) for chunk in chunks])

    def __getitem__(self, rows: Sequence[int]) -> list[NDArray[Any]]:
        numbers = np.searchsorted(self._ends, rows, side="right")
        from_end = (rows - self._ends[numbers]).tolist()
        return [self._chunk(number)[row] for number, row in zip(numbers.tolist(), from_end, strict=True)]

    def _chunk(self, number: int) -> Sequence[NDArray[Any]]:
        decoded = self._decoded[number]
        if decoded is None:
            decoded = self._decoded[number] = self._decode(self._chunks[number])
        return decoded


def _decode_images(chunk: pa.Array) -> Sequence[NDArray[np.int16]]:
    """The images of a chunk."""
    cells = _cells_of(chunk)
    if isinstance(cells, np.ndarray) and cells.shape[1] == _IMAGE_BYTES:
        return list(cells.view("<i2").reshape(-1, *IMAGE_SHAPE))
    return LazyColumn(decode_image, list(cells))


def _decode_labels(chunk: pa.Array) -> Sequence[NDArray[np.uint8]]:
    """The labels of a chunk: one array of them all where we wrote them, else each decoded when needed."""
    cells = _cells_of(chunk.field("bytes"))
    if isinstance(cells, np.ndarray) and cells.shape[1] == _LABEL_BYTES:
        header = np.frombuffer(_LABEL_HEADER, dtype=np.uint8)
        rows = cells[:, _LABEL_START:_LABEL_END].reshape(-1, PATCH_SIZE, PATCH_SIZE + 1)
        if (cells[:, :_LABEL_START] == header).all() and not rows[:, :, 0].any():
            return list(rows[:, :, 1:])
    return LazyColumn(decode_label, list(cells))


def _cells_of(chunk: pa.Array) -> NDArray[np.uint8] | list[NDArray[np.uint8]]:
    """The bytes of each cell: uint8 (cells, bytes) where all are of one size, else a list."""
    _, offsets, data = chunk.buffers()
    offset_type = np.int64 if pa.types.is_large_binary(chunk.type) else np.int32
    ends = np.frombuffer(offsets, dtype=offset_type)[chunk.offset : chunk.offset + len(chunk) + 1]
    values = np.frombuffer(data, dtype=np.uint8)[ends[0] : ends[-1]]
    if np.all(np.diff(ends) == ends[1] - ends[0]):
        return values.reshape(len(chunk), -1)
    return np.split(values, ends[1:-1] - ends[0])


class _Pixels:
    """Images and labels of one `annual` split by rows."""

    def __init__(self, annual: datasets.Dataset) -> None:
        self._annual = annual
        self._images = _Column(_filled_chunks(annual, "image"), _decode_images)
        self._labels = _Column(_filled_chunks(annual, "label"), _decode_labels)

    def __reduce__(self) -> tuple[type[_Pixels], tuple[datasets.Dataset]]:
        # A memory-mapped dataset travels to a worker as the path of its file.
        return type(self), (self._annual,)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Pixels:
        return self  # nothing of it ever changes, and `datasets` copies at each filter, shuffle and select

    def image(self, rows: Sequence[int]) -> list[NDArray[np.int16]]:
        """One view (10, 160, 160) per annual row."""
        return self._images[rows]

    def label(self, rows: Sequence[int]) -> list[NDArray[np.uint8]]:
        """One view (160, 160) per annual row."""
        return self._labels[rows]

    def images(self, rows: Sequence[Sequence[int]]) -> LazyColumn:
        """One stack (years, 10, 160, 160) per series or pair of annual rows."""
        return LazyColumn(lambda years: _stack(self._images[years]), rows)

    def labels(self, rows: Sequence[Sequence[int]]) -> LazyColumn:
        """One stack (years, 160, 160) per series or pair of annual rows."""
        return LazyColumn(lambda years: _stack(self._labels[years]), rows)

    def change(self, rows: Sequence[Sequence[int]]) -> LazyColumn:
        """One (160, 160) per pair of annual rows."""
        return LazyColumn(lambda years: change_between(*self._labels[years]), rows)


def _filled_chunks(annual: datasets.Dataset, name: str) -> list[pa.Array]:
    return [chunk for chunk in annual.data.column(name).chunks if len(chunk)]


def _stack(cells: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """`np.stack` of arrays of one shape, with fewer calls for each of them."""
    return np.concatenate(cells).reshape(len(cells), *cells[0].shape)


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


class _Transform:
    """Called by `datasets` with the small columns of some rows: replaces the row numbers by the pixels."""

    def __init__(self, pixels: _Pixels, config: str, wanted: Sequence[str]) -> None:
        self._pixels = pixels
        self.config = config
        self._pixel_columns = [name for name in _PIXELS[config] if name in wanted]

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        if not all(name in batch for name in _ROWS[self.config]):
            return batch  # a filter by input_columns, or a person who dropped them, asks for no pixels
        rows = batch.pop(_ROWS[self.config][0])
        if self.config == "pairs":
            rows = list(zip(rows, batch.pop("row_2"), strict=True))
        return {**batch, **self.pixels_of(rows)}

    def pixels_of(self, rows: Sequence[Any]) -> dict[str, Sequence[NDArray[Any]]]:
        """The pixels of some rows of the config, by name.

        Args:
            rows: What each row has for annual rows: one, a list of them, or a pair.
        """
        return {name: getattr(self._pixels, name)(rows) for name in self._pixel_columns}


class _Loader:
    """`load_dataset` of one source."""

    def __init__(self, source: str | os.PathLike[str], revision: str | None, streaming: bool) -> None:
        self._source = os.fspath(source)
        self._revision = revision
        self._streaming = streaming

    def __call__(self, config: str, split: str | None) -> Any:
        return datasets.load_dataset(
            self._source, config, split=split, revision=self._revision, streaming=self._streaming
        )


def _wanted_columns(config: str, columns: Iterable[str] | None) -> tuple[str, ...]:
    """The entries of a decoded row, pixels last."""
    hidden = {*_BLOBS, *_ROWS[config]}
    known = (*(name for name in FEATURES[config] if name not in hidden), *_PIXELS[config])
    if columns is None:
        return known
    chosen = tuple(dict.fromkeys(columns))
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        raise ValueError(
            f"columns are {', '.join(map(repr, unknown)) or 'none'}; expected some of those of {config}: "
            f"{', '.join(known)}."
        )
    return chosen


def _check_source(source: str | os.PathLike[str]) -> None:
    """Say in a sentence what `load_dataset` would answer with a page."""
    path = Path(source)
    if path.is_dir():
        if not (path / "README.md").is_file() or not (path / "data" / "annual").is_dir():
            raise ValueError(
                f"{path}: is no built dataset; expected the folder that `euromine build` wrote, with "
                "README.md and data/annual in it."
            )
    elif isinstance(source, os.PathLike) or re.match(r"[./~\\]", source):
        raise FileNotFoundError(f"{path}: there is no such folder; expected one that `euromine build` wrote.")


def _split_name(split: str, config: str) -> str:
    """`train` of `train` or `train[:10%]`: the split whose annual rows the row numbers count."""
    match = re.fullmatch(r"(\w+)(\[[^\[\]]*\])?", str(split))
    if not match or match[1] == "all":
        raise ValueError(
            f"split is '{split}'; expected one split of {config}, or a part of one such as 'train[:100]' "
            "(row numbers count within a split; concatenate_datasets joins several)."
        )
    return match[1]


def _for_each_split(loaded: Any, make: Callable[[str | None], Any]) -> Any:
    """The same kind of thing as `loaded` (one split, or all by name) from what `make` gives for each."""
    if not isinstance(loaded, dict):
        return make(None)
    kind = (
        datasets.IterableDatasetDict
        if isinstance(loaded, datasets.IterableDatasetDict)
        else datasets.DatasetDict
    )
    return kind({name: make(name) for name in loaded})


def _of_split(loaded: Any, name: str | None) -> Any:
    return loaded if name is None else loaded[name]


def _view(
    index: datasets.Dataset,
    annual: datasets.Dataset,
    config: str,
    years: frozenset[int] | None,
    wanted: tuple[str, ...],
) -> datasets.Dataset:
    """The small columns of `index`, decoded by a transform that reads the pixels of `annual`."""
    table = index.data.table
    if config == "annual":
        table = table.append_column("row", pa.array(np.arange(len(table)), pa.int64()))
    kept = [name for name in table.column_names if name not in _BLOBS]
    table = table.select(kept).combine_chunks()
    if config != "annual":
        _check_rows(table, annual, config)
    if years is not None:
        table = _of_years(table, config, years, index.split)
    table = table.select([name for name in kept if name in wanted or name in _ROWS[config]])
    features = datasets.Features.from_arrow_schema(table.schema)
    small = datasets.Dataset(
        _SmallTable(table), info=datasets.DatasetInfo(features=features), split=index.split
    )
    return small.with_transform(_Transform(_Pixels(annual), config, wanted))


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


def _check_rows(table: pa.Table, annual: datasets.Dataset, config: str) -> None:
    """Raise if the row numbers of a config do not lead to rows of the same patch."""
    owners = table.column("patch_id").combine_chunks()
    annual_ids = annual.data.column("patch_id")
    for name in _ROWS[config]:
        rows = table.column(name).combine_chunks()
        expected = owners
        if config == "series":
            expected = owners.take(pc.list_parent_indices(rows))
            rows = rows.flatten()
        if len(rows) == 0:
            continue
        if pc.max(rows).as_py() >= len(annual) or annual_ids.take(rows) != pa.chunked_array([expected]):
            raise ValueError(
                f"The {config} of split '{annual.split}' name other annual rows than their own; expected "
                "configs of one build."
            )


def _of_years(table: pa.Table, config: str, years: frozenset[int], split: Any) -> pa.Table:
    """The rows of a config restricted to some years."""
    chosen = pa.array(sorted(years), pa.int32())
    if config == "series":
        restricted = _series_of_years(table, chosen)
    else:
        restricted = table
        for name in ("year",) if config == "annual" else ("year_1", "year_2"):
            restricted = restricted.filter(pc.is_in(restricted.column(name), chosen))
    if len(table) and not len(restricted):
        raise ValueError(
            f"years are {', '.join(map(str, sorted(years))) or 'none'}; expected some of which split "
            f"'{split}' has {config} rows."
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


def _stream(
    annual: datasets.IterableDataset, config: str, years: frozenset[int] | None, wanted: tuple[str, ...]
) -> datasets.IterableDataset:
    """Rows of any config from a stream of annual rows, file by file."""
    annual = annual.remove_columns("quicklook").cast_column("label", datasets.Image(decode=False))
    return datasets.IterableDataset.from_generator(
        _stream_rows,
        gen_kwargs={
            "annual": annual,
            "shards": list(range(annual.num_shards)),  # a list is what `datasets` shares out among workers
            "config": config,
            "years": years,
            "wanted": wanted,
        },
        split=annual.split,
    )


def _stream_rows(
    annual: datasets.IterableDataset,
    shards: Sequence[int],
    config: str,
    years: frozenset[int] | None,
    wanted: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """The rows of some files of a split. A patch's years are neighbours, and never in two files."""
    make = {"annual": _annual_of, "series": _series_of, "pairs": _pairs_of}[config]
    for shard in shards:
        rows = (
            row
            for row in annual.shard(num_shards=annual.num_shards, index=shard)
            if years is None or row["year"] in years
        )
        for _, patch_rows in groupby(rows, key=lambda row: row["patch_id"]):
            for decoded in make(list(patch_rows)):
                yield {name: decoded[name] for name in wanted}


def _annual_of(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The decoded rows of one patch."""
    for row in rows:
        yield {**row, "image": decode_image(row["image"]), "label": decode_label(row["label"]["bytes"])}


def _series_of(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The decoded series of one patch."""
    decoded = list(_annual_of(rows))
    yield {
        **decoded[0],
        "years": [row["year"] for row in decoded],
        "images": np.stack([row["image"] for row in decoded]),
        "labels": np.stack([row["label"] for row in decoded]),
    }


def _pairs_of(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The decoded pairs of one patch."""
    decoded = list(_annual_of(rows))
    if len(decoded) < 2:
        return
    gained, lost, known = change_counts(np.stack([row["label"] for row in decoded]), decoded[0]["own"])
    for (first, row_1), (second, row_2) in combinations(enumerate(decoded), 2):
        yield {
            **row_1,
            "year_1": row_1["year"],
            "year_2": row_2["year"],
            "interval": row_2["year"] - row_1["year"],
            "gained_pixels": int(gained[first, second]),
            "lost_pixels": int(lost[first, second]),
            "owned_pixels": int(known[first, second]),
            "images": np.stack([row_1["image"], row_2["image"]]),
            "labels": np.stack([row_1["label"], row_2["label"]]),
            "change": change_between(row_1["label"], row_2["label"]),
        }
