"""The cells of annual rows: encode images, labels and quicklooks, and decode them without copies."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from euromine.support.errors import DatasetError
from euromine.support.png_files import open_png

from .archive_bands import BANDS, NO_BACKSCATTER, RADAR_BANDS
from .patches import PATCH_SIZE

QUICKLOOK_BANDS = (2, 1, 0)
"""Red, green and blue of the quicklook: B04, B03, B02, as indices into the bands."""

QUICKLOOK_WHITE = 3000
"""DN shown as white; 0 is black. The stretch between them is linear and the same for all sites and years."""

_QUICKLOOK_QUALITY = 85

_WHITE_TO_BYTE = np.round(np.arange(QUICKLOOK_WHITE + 1) * (255 / QUICKLOOK_WHITE)).astype(np.uint8)

IMAGE_SHAPE = (len(BANDS), PATCH_SIZE, PATCH_SIZE)

LABEL_SHAPE = (PATCH_SIZE, PATCH_SIZE)

_IMAGE_BYTES = int(np.prod(IMAGE_SHAPE)) * 2

RADAR_SHAPE = (len(RADAR_BANDS), PATCH_SIZE, PATCH_SIZE)

_RADAR_BYTES = int(np.prod(RADAR_SHAPE)) * 2


def encode_label(label: NDArray[np.uint8]) -> bytes:
    """A label as PNG, 8-bit grey, its pixels stored uncompressed.

    Any PNG reader opens it. Its pixels lie uncompressed at a fixed offset, so decoding is a view; zstd in the
    parquet file makes labels as small as PNG's own compression would.

    Args:
        label: `(160, 160)` uint8.
    """
    return _stored_png(label)


def encode_components(bits: NDArray[np.uint16]) -> bytes:
    """Component classes as PNG, 16-bit grey, stored as labels are.

    Args:
        bits: `(160, 160)` uint16, bit i for class i of `COMPONENT_CLASSES`.
    """
    return _stored_png(bits.astype(">u2"))


def _stored_png(pixels: NDArray[Any]) -> bytes:
    """Grey of 8 bits or big-endian 16 bits as PNG, uncompressed."""
    height, width = pixels.shape
    row_bytes, bits = width * pixels.itemsize, 8 * pixels.itemsize
    rows = np.zeros((height, row_bytes + 1), dtype=np.uint8)  # each row starts with its filter: 0, none
    rows[:, 1:] = np.ascontiguousarray(pixels).view(np.uint8).reshape(height, row_bytes)
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((bits, 0, 0, 0, 0))
    chunks = ((b"IHDR", header), (b"IDAT", _store(rows.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
        for name, data in chunks
    )


def _store(data: bytes) -> bytes:
    """A zlib stream of one uncompressed block; `zlib.compress(level=0)` may cut it where it likes."""
    size = len(data).to_bytes(2, "little")
    complement = (len(data) ^ 0xFFFF).to_bytes(2, "little")
    return b"\x78\x01" + b"\x01" + size + complement + data + zlib.adler32(data).to_bytes(4, "big")


def encode_quicklook(image: NDArray[np.int16]) -> bytes:
    """A natural-colour JPEG of B04, B03 and B02, DN 0 to `QUICKLOOK_WHITE` from black to white.

    The stretch is the same for every patch and year, which makes years comparable.

    Args:
        image: `(10, height, width)` int16 DN.
    """
    red_green_blue = np.moveaxis(image[list(QUICKLOOK_BANDS)], 0, -1)
    pixels = _WHITE_TO_BYTE.take(red_green_blue, mode="clip")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUICKLOOK_QUALITY)
    return buffer.getvalue()


# Labels that `encode_label` wrote hold their pixels uncompressed behind a header that is always the same.
_EMPTY_LABEL = encode_label(np.zeros(LABEL_SHAPE, np.uint8))

_LABEL_BYTES = len(_EMPTY_LABEL)

_PNG_END = 4 + 4 + 12  # checksums of the pixels and of their chunk; the chunk that ends the file

_LABEL_END = _LABEL_BYTES - _PNG_END

_LABEL_START = _LABEL_END - PATCH_SIZE * (PATCH_SIZE + 1)

_LABEL_HEADER = _EMPTY_LABEL[:_LABEL_START]

_LABEL_FILTERS = bytes(PATCH_SIZE)  # before each row of pixels: none

_EMPTY_COMPONENTS = encode_components(np.zeros(LABEL_SHAPE, np.uint16))

_COMPONENTS_BYTES, _COMPONENTS_HEADER = len(_EMPTY_COMPONENTS), _EMPTY_COMPONENTS[:_LABEL_START]


def decode_image(data: Any) -> NDArray[np.int16]:
    """Decode an `image` cell as a read-only view, int16 (10, 160, 160).

    Args:
        data: The bytes of the cell, or anything with a buffer.

    Raises:
        DatasetError: The cell has another size.
    """
    values = np.frombuffer(data, dtype=np.uint8)
    if values.size != _IMAGE_BYTES:
        raise DatasetError(
            f"image: found a cell of {values.size} bytes; expected {_IMAGE_BYTES} (int16 {IMAGE_SHAPE})."
        )
    return values.view("<i2").reshape(IMAGE_SHAPE)


def decode_label(data: Any) -> NDArray[np.uint8]:
    """Decode a `label` cell, uint8 (160, 160): 0 other, 1 mine, 255 unknown.

    The output of `encode_label` needs no decoding and is returned as a read-only view.

    Args:
        data: The bytes of a PNG, or anything with a buffer.

    Raises:
        DatasetError: The cell is not a picture of one channel and 160 x 160 pixels.
    """
    values = np.frombuffer(data, dtype=np.uint8)
    if values.size == _LABEL_BYTES and values[:_LABEL_START].tobytes() == _LABEL_HEADER:
        rows = values[_LABEL_START:_LABEL_END].reshape(PATCH_SIZE, PATCH_SIZE + 1)
        if rows[:, 0].tobytes() == _LABEL_FILTERS:
            return rows[:, 1:]
    label = _decode_png("label", values)
    if label.shape != LABEL_SHAPE or label.dtype != np.uint8:
        raise DatasetError(f"label: found {label.dtype} {label.shape}; expected uint8 {LABEL_SHAPE}.")
    return label


def decode_components(data: Any) -> NDArray[np.uint16]:
    """Decode a `components` cell, uint16 (160, 160): bit i for class i of `COMPONENT_CLASSES`.

    Args:
        data: The bytes of a PNG, or anything with a buffer.

    Raises:
        DatasetError: The cell is not a picture of one channel of 16 bits and 160 x 160 pixels.
    """
    values = np.frombuffer(data, dtype=np.uint8)
    if values.size == _COMPONENTS_BYTES and values[:_LABEL_START].tobytes() == _COMPONENTS_HEADER:
        rows = values[_LABEL_START : _COMPONENTS_BYTES - _PNG_END].reshape(PATCH_SIZE, 2 * PATCH_SIZE + 1)
        if rows[:, 0].tobytes() == _LABEL_FILTERS:
            return np.ascontiguousarray(rows[:, 1:]).view(">u2").astype(np.uint16)
    bits = _decode_png("components", values)
    if bits.shape != LABEL_SHAPE or bits.dtype.kind not in "iu" or bits.dtype.itemsize < 2:
        raise DatasetError(f"components: found {bits.dtype} {bits.shape}; expected uint16 {LABEL_SHAPE}.")
    return bits.astype(np.uint16)


def decode_radar(data: Any) -> NDArray[np.int16]:
    """Decode a `radar` cell as a read-only view, int16 (2, 160, 160): VV and VH in dB x 100.

    Args:
        data: The bytes of the cell, or anything with a buffer; None where the year has no backscatter.

    Returns:
        `NO_BACKSCATTER` where there is none, everywhere for None.

    Raises:
        DatasetError: The cell has another size.
    """
    if data is None:
        return np.full(RADAR_SHAPE, NO_BACKSCATTER, np.int16)
    values = np.frombuffer(data, dtype=np.uint8)
    if values.size != _RADAR_BYTES:
        raise DatasetError(
            f"radar: found a cell of {values.size} bytes; expected {_RADAR_BYTES} (int16 {RADAR_SHAPE})."
        )
    return values.view("<i2").reshape(RADAR_SHAPE)


def _decode_png(column: str, values: NDArray[np.uint8]) -> NDArray[Any]:
    try:
        with open_png(io.BytesIO(values.tobytes())) as picture:
            if picture.size != LABEL_SHAPE[::-1]:  # before any of it is decoded
                raise DatasetError(
                    f"{column}: found {picture.height} x {picture.width} pixels; expected {LABEL_SHAPE}."
                )
            return np.asarray(picture)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's for damaged files
        raise DatasetError(
            f"{column}: found a cell of {values.size} bytes that is not a picture; expected a PNG."
        ) from error


class LazyColumn(Sequence[Any]):
    """A column that reads cells on access and keeps none.

    Otherwise `dataset[:1000]["images"]` would take five gigabytes before the first is used.
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


class CellColumn:
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
        # Views, once their chunk has been read; cells that are decoded on each access stay None.
        self._views: list[NDArray[Any] | None] = [None] * sum(len(chunk) for chunk in chunks)

    def __getitem__(self, rows: Sequence[int]) -> list[NDArray[Any]]:
        views = self._views
        return [self._read(row) if (view := views[row]) is None else view for row in rows]

    def _read(self, row: int) -> NDArray[Any]:
        number = int(np.searchsorted(self._ends, row, side="right"))
        decoded = self._decoded[number]
        if decoded is None:
            decoded = self._decoded[number] = self._decode(self._chunks[number])
        start = int(self._ends[number]) - len(decoded)
        if isinstance(decoded, list):
            self._views[start : start + len(decoded)] = decoded
        return decoded[row - start]


def decode_images(chunk: pa.Array) -> Sequence[NDArray[np.int16]]:
    """Decode the images of a chunk."""
    cells = _cells_of(chunk)
    if isinstance(cells, np.ndarray) and cells.shape[1] == _IMAGE_BYTES:
        return list(cells.view("<i2").reshape(-1, *IMAGE_SHAPE))
    return LazyColumn(decode_image, list(cells))


def decode_labels(chunk: pa.Array) -> Sequence[NDArray[np.uint8]]:
    """Decode the labels of a chunk: as one view where `encode_label` wrote them, otherwise each on access."""
    cells = _cells_of(chunk.field("bytes"))
    if isinstance(cells, np.ndarray) and cells.shape[1] == _LABEL_BYTES:
        header = np.frombuffer(_LABEL_HEADER, dtype=np.uint8)
        rows = cells[:, _LABEL_START:_LABEL_END].reshape(-1, PATCH_SIZE, PATCH_SIZE + 1)
        if (cells[:, :_LABEL_START] == header).all() and not rows[:, :, 0].any():
            return list(rows[:, :, 1:])
    return LazyColumn(decode_label, list(cells))


def decode_component_cells(chunk: pa.Array) -> Sequence[NDArray[np.uint16]]:
    """Decode the components of a chunk, each on access."""
    return LazyColumn(decode_components, list(_cells_of(chunk.field("bytes"))))


def decode_radar_cells(chunk: pa.Array) -> Sequence[NDArray[np.int16]]:
    """Decode the radar of a chunk, each on access; years without radar have no backscatter."""
    cells: list[Any] = list(_cells_of(chunk))
    if chunk.null_count:
        cells = [cell if is_there else None for cell, is_there in zip(cells, chunk.is_valid(), strict=True)]
    return LazyColumn(decode_radar, cells)


def _cells_of(chunk: pa.Array) -> NDArray[np.uint8] | list[NDArray[np.uint8]]:
    """The bytes of each cell: uint8 (cells, bytes) where all are of one size, else a list."""
    _, offsets, data = chunk.buffers()
    offset_type = np.int64 if pa.types.is_large_binary(chunk.type) else np.int32
    ends = np.frombuffer(offsets, dtype=offset_type)[chunk.offset : chunk.offset + len(chunk) + 1]
    values = np.frombuffer(data, dtype=np.uint8)[ends[0] : ends[-1]]
    if np.all(np.diff(ends) == ends[1] - ends[0]):
        return values.reshape(len(chunk), -1)
    return np.split(values, ends[1:-1] - ends[0])
