"""Evidence of a network that sees several years, on disk until all maps are made of it, a file per block.

A block's file appears once it is complete and ends in a checksum, so that a later run continues after the
last row of whole blocks.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.monitoring.mapping.tiling import Block, Tiling
from euromine.support.errors import ArgumentError
from euromine.support.files import atomic_file, full_disk_error, write_json

FOLDER = ".evidence"
"""Its folder in the folder of a series."""

_FORMAT, _RECORD = "euromine-evidence", "record.json"
_FILES = re.compile(r"_?\d+_\d+\.(float32|bits)(\.part)?|_?record\.json(\.part)?")
_LARGEST_RECORD = 2**24
_CHECKSUM_BYTES = 4


@dataclass(frozen=True)
class EvidenceStore:
    """Maps of a scene in blocks: those that windows complete, in the order of the tiling.

    Attributes:
        folder: The folder of the files.
        tiling: The windows.
        maps: The number of maps.
        is_binary: Whether maps are true or false, of which eight pixels take a byte; else they are float32.
    """

    folder: Path
    tiling: Tiling
    maps: int
    is_binary: bool = False

    @classmethod
    def opened(
        cls, out: Path, tiling: Tiling, maps: int, record: dict[str, Any], *, is_binary: bool = False
    ) -> EvidenceStore:
        """The evidence in a series' folder, without blocks that are damaged or made of something else.

        Args:
            out: The series' folder.
            tiling: The windows.
            maps: The number of maps.
            record: The inputs to the evidence, as JSON gives them back.
            is_binary: As the attribute.

        Raises:
            ArgumentError: Something else has the folder's name.
            OSError: The folder cannot be written to, or the disk has no room for the blocks.
        """
        store = cls(out / FOLDER, tiling, maps, is_binary)
        if store.folder.is_symlink() or stored_record(out) != record:
            remove_evidence(out)
            store.folder.mkdir()
            write_json(store.folder / _RECORD, {"format": _FORMAT, "inputs": record})
        store._remove_damaged()
        store._check_space()
        return store

    @property
    def complete_rows(self) -> int:
        """How many rows of blocks are complete, from the top."""
        columns = range(self.tiling.columns.count)
        for row in range(self.tiling.rows.count):
            if not all(self._is_complete(row, column) for column in columns):
                return row
        return self.tiling.rows.count

    def write(self, row: int, column: int, block: NDArray[Any]) -> None:
        """Write the block of a window, (maps, rows, columns)."""
        kept = np.packbits(block, axis=-1) if self.is_binary else block
        data = np.ascontiguousarray(kept, self._dtype).data
        with atomic_file(self._path(row, column)) as part, part.open("wb") as file:
            file.write(data)
            file.write(_checksum(data))

    def read_rows(self, top: int, bottom: int, maps: Sequence[int] | None = None) -> NDArray[Any]:
        """Rows over the scene's whole width, (maps, bottom - top, width) float32 or bool.

        Args:
            top: The first row.
            bottom: The row after the last.
            maps: The maps to read; None for all.
        """
        chosen = range(self.maps) if maps is None else maps
        shape = (len(chosen), bottom - top, self.tiling.columns.length)
        found = np.empty(shape, bool if self.is_binary else np.float32)
        for row in range(self.tiling.rows.count):
            first = Block.of(self.tiling, row, 0)
            begin, end = max(top, first.top), min(bottom, first.top + _shape(first)[0])
            if begin >= end:
                continue
            for column in range(self.tiling.columns.count):
                block = Block.of(self.tiling, row, column)
                values = np.memmap(self._path(row, column), self._dtype, mode="r", shape=self._shape(block))
                width = _shape(block)[1]
                part = values[:, begin - block.top : end - block.top]
                for place, number in enumerate(chosen):
                    read = part[number]
                    found[place, begin - top : end - top, block.left : block.left + width] = (
                        np.unpackbits(read, axis=-1, count=width) if self.is_binary else read
                    )
        return found

    @property
    def _dtype(self) -> str:
        return "u1" if self.is_binary else "<f4"

    def _path(self, row: int, column: int) -> Path:
        return self.folder / f"{row:04d}_{column:04d}.{'bits' if self.is_binary else 'float32'}"

    def _shape(self, block: Block) -> tuple[int, int, int]:
        """The shape of a block's file."""
        rows, columns = _shape(block)
        return self.maps, rows, math.ceil(columns / 8) if self.is_binary else columns

    def _is_complete(self, row: int, column: int) -> bool:
        try:
            size = self._path(row, column).stat().st_size
        except FileNotFoundError:
            return False
        return size == self._bytes(row, column)

    def _bytes(self, row: int, column: int) -> int:
        numbers = math.prod(self._shape(Block.of(self.tiling, row, column)))
        return numbers * np.dtype(self._dtype).itemsize + _CHECKSUM_BYTES

    def _remove_damaged(self) -> None:
        """Delete the files whose content is not that of their checksum."""
        for place in self.tiling:
            if self._is_complete(*place):
                data = memoryview(self._path(*place).read_bytes())
                if _checksum(data[:-_CHECKSUM_BYTES]) != bytes(data[-_CHECKSUM_BYTES:]):
                    self._path(*place).unlink()

    def _check_space(self) -> None:
        """Refuse to start if the disk has no room for the blocks that are missing."""
        needed = sum(self._bytes(*place) for place in self.tiling if not self._is_complete(*place))
        if shutil.disk_usage(self.folder).free < needed:
            raise full_disk_error(self.folder.parent, "the evidence of all years", needed=needed)


def stored_record(out: Path) -> Any:
    """The inputs to the evidence in a series' folder, as JSON gives them back; None if there is none."""
    path = out / FOLDER / _RECORD
    with suppress(OSError, ValueError, RecursionError):
        if path.stat().st_size <= _LARGEST_RECORD:
            found = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(found, dict) and found.get("format") == _FORMAT:
                return found.get("inputs")
    return None


def remove_evidence(out: Path) -> None:
    """Delete the evidence in a series' folder, if there is any.

    Raises:
        ArgumentError: Something else has the folder's name.
    """
    folder = out / FOLDER
    if not (folder.exists() or folder.is_symlink()):
        return
    is_folder = folder.is_dir() and not folder.is_symlink()
    if not is_folder or any(_FILES.fullmatch(path.name) is None for path in folder.iterdir()):
        raise ArgumentError(
            f"{folder}: found something that EuroMine did not write; expected nothing of this name. Move it "
            "elsewhere, or choose another folder with --out."
        )
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def _checksum(data: Any) -> bytes:
    return zlib.crc32(data).to_bytes(_CHECKSUM_BYTES, "little")


def _shape(block: Block) -> tuple[int, int]:
    rows, columns = block.inside
    return rows.stop - rows.start, columns.stop - columns.start
