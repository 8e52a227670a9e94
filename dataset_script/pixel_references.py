"""Columns of pixels as references to rows of an annual split, read when a cell is used."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from datasets.features.features import register_feature
from numpy.typing import NDArray

from euromine.support.errors import DatasetError

_SINGLE = ("image", "label", "components", "radar")
"""Pixels of one row; the others are of several."""

_DIMENSIONS = {"image": 3, "label": 2, "images": 4, "labels": 3, "change": 2, "components": 2, "radar": 3}

_TYPES = {
    **dict.fromkeys(("image", "images", "radar"), pa.int16()),
    **dict.fromkeys(("label", "labels", "change"), pa.uint8()),
    "components": pa.uint16(),
}

# Splits by their number in references. They are memory maps, and stay open.
_open_splits: dict[int, Any] = {}


def open_split(name: str, pixels: Any) -> int:
    """Let columns refer to the pixels of an annual split.

    Args:
        name: A unique name of the split, the same in every process.
        pixels: The pixels, with a method for each column that takes the rows of its cells.

    Returns:
        The split's number in references.
    """
    number = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little", signed=True)
    _open_splits.setdefault(number, pixels)
    return number


@dataclass
class PixelFeature:
    """The feature of a column of pixels.

    Attributes:
        pixels: The kind of pixels: `image`, `label`, `images`, `labels`, `change`, `components` or `radar`.
        streamed: Whether the cells are the pixels themselves. Otherwise they are references: a split's
            number, and the row or rows in it.
    """

    pixels: str
    streamed: bool = False
    id: str | None = field(default=None, repr=False)
    _type: str = field(default="EuroMinePixels", init=False, repr=False)

    dtype: ClassVar[str] = "dict"

    def __call__(self) -> pa.DataType:
        """The type of the cells in Arrow."""
        if self.streamed:
            cells = _TYPES[self.pixels]
            for _ in range(_DIMENSIONS[self.pixels]):
                cells = pa.list_(cells)
            return cells
        rows = pa.int64() if self.pixels in _SINGLE else pa.list_(pa.int64())
        return pa.struct({"source": pa.int64(), "rows": rows})

    def __reduce__(self) -> Any:
        # A worker process needs the splits that the rows refer to: they travel as the paths of their files.
        return _restored, (self.pixels, self.streamed, {} if self.streamed else dict(_open_splits))

    def __deepcopy__(self, memo: dict[int, Any]) -> PixelFeature:
        return self

    def encode_example(self, value: Any) -> Any:
        """Return references and pixels unchanged."""
        return value

    def decode_example(self, value: Any, token_per_repo_id: Any = None) -> Any:
        """A reference that reads its pixels when it is used; streamed pixels unchanged."""
        if self.streamed:
            return value
        return PixelReference(self.pixels, value["source"], value["rows"])

    def cast_storage(self, storage: pa.Array) -> pa.Array:
        """References unchanged, and streamed pixels as lists.

        Raises:
            TypeError: The cells are pixels, such as `map` returns, in place of references; `datasets` then
                stores them as lists.
        """
        if self.streamed:
            return storage.cast(self())
        if not pa.types.is_struct(storage.type):
            raise TypeError(f"{self.pixels}: found {storage.type}; expected references to annual rows.")
        return storage

    def embed_storage(self, storage: pa.Array, *args: Any, **kwargs: Any) -> pa.Array:
        """Refuse to write references to files, where nobody could follow them.

        Raises:
            DatasetError: The cells are references.
        """
        if self.streamed:
            return storage
        raise DatasetError(
            f"{self.pixels}: found references to the rows of a built dataset; expected no such column in "
            "files, as others could not follow them. Remove it, or let map return copies of the pixels."
        )


def _restored(pixels: str, streamed: bool, splits: dict[int, Any]) -> PixelFeature:
    for number, split in splits.items():
        _open_splits.setdefault(number, split)
    return PixelFeature(pixels, streamed)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # the interface is experimental
    register_feature(PixelFeature, "EuroMinePixels")


class PixelReference:
    """The pixels of one cell, which can be used as an array; each use reads them."""

    __slots__ = ("pixels", "rows", "source")

    def __init__(self, pixels: str, source: int, rows: int | list[int]) -> None:
        self.pixels = pixels
        self.source = source
        self.rows = rows

    def read(self) -> NDArray[Any]:
        """The pixels, a read-only view of the file where they are one image or label.

        Raises:
            DatasetError: The dataset that the rows belong to is not open in this process.
        """
        array: NDArray[Any] = _pixels_of(self.pixels, self.source, [self.rows])[0]
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.read(), dtype, copy=copy)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in self.__slots__:
            raise AttributeError(name)
        return getattr(self.read(), name)

    def __getitem__(self, place: Any) -> Any:
        return self.read()[place]

    def __len__(self) -> int:
        return len(self.read())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.read())


def read_references(references: Sequence[PixelReference]) -> Sequence[NDArray[Any]]:
    """The pixels of some cells of one column, read together where they are of one split."""
    first = references[0]
    if all(each.source == first.source for each in references):
        return _pixels_of(first.pixels, first.source, [each.rows for each in references])
    return [each.read() for each in references]


class RowReader:
    """Reads the pixels of cells of one row each.

    Args:
        pixels: The kinds of pixels to read of each row, as of `PixelFeature`.
        references: The cells of a column, or of columns that refer to the same rows.
    """

    def __init__(self, pixels: Sequence[str], references: pa.StructArray) -> None:
        self._pixels = tuple(pixels)
        self._sources: NDArray[np.int64] = references.field("source").to_numpy()
        self._rows: NDArray[np.int64] = references.field("rows").to_numpy()
        self._only_source = int(self._sources[0]) if len(np.unique(self._sources)) == 1 else None

    def __call__(self, cells: Sequence[int] | NDArray[np.int64]) -> dict[str, Sequence[NDArray[Any]]]:
        """The pixels of some cells by their kind.

        Args:
            cells: Places in the column.

        Raises:
            DatasetError: The dataset that a row belongs to is not open in this process.
        """
        rows = self._rows[cells].tolist()
        if self._only_source is not None:
            return {kind: _pixels_of(kind, self._only_source, rows) for kind in self._pixels}
        places = list(zip(self._sources[cells].tolist(), rows, strict=True))
        return {kind: [_pixels_of(kind, source, [row])[0] for source, row in places] for kind in self._pixels}


def _pixels_of(pixels: str, source: int, rows: Sequence[Any]) -> Sequence[NDArray[Any]]:
    if source not in _open_splits:
        raise DatasetError(
            f"{pixels}: found rows of a dataset that is not open; expected one that this process has read. "
            "Open it with read_dataset first."
        )
    read: Sequence[NDArray[Any]] = getattr(_open_splits[source], pixels)(rows)
    return read
