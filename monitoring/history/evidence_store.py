"""Evidence of a network for series on disk, a file per block of the scene, until all maps are made of it.

A block's file appears once it is complete, so that a later run continues after the last row of blocks.
"""

from __future__ import annotations

import json
import math
import re
import shutil
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
_FILES = re.compile(r"_?\d+_\d+\.float32(\.part)?|_?record\.json(\.part)?")
_LARGEST_RECORD = 2**24


@dataclass(frozen=True)
class EvidenceStore:
    """Maps of a scene in blocks: those that windows complete, in the order of the tiling.

    Attributes:
        folder: The folder of the files.
        tiling: The windows.
        maps: The number of maps.
    """

    folder: Path
    tiling: Tiling
    maps: int

    @classmethod
    def opened(cls, out: Path, tiling: Tiling, maps: int, record: dict[str, Any]) -> EvidenceStore:
        """The evidence in a series' folder, without blocks that were made of something else.

        Args:
            out: The series' folder.
            tiling: The windows.
            maps: The number of maps.
            record: The inputs to the evidence, as JSON gives them back.

        Raises:
            ArgumentError: Something else has the folder's name.
            OSError: The folder cannot be written to, or the disk has no room for the blocks.
        """
        store = cls(out / FOLDER, tiling, maps)
        if _record(store.folder) != record:
            remove_evidence(out)
            store.folder.mkdir()
            write_json(store.folder / _RECORD, {"format": _FORMAT, "inputs": record})
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

    def write(self, row: int, column: int, block: NDArray[np.float32]) -> None:
        """Write the block of a window, (maps, rows, columns)."""
        with atomic_file(self._path(row, column)) as part:
            part.write_bytes(block.astype("<f4", copy=False).tobytes())

    def read_rows(self, top: int, bottom: int) -> NDArray[np.float32]:
        """Rows of all maps over the scene's whole width, (maps, bottom - top, width)."""
        found = np.empty((self.maps, bottom - top, self.tiling.columns.length), np.float32)
        for row in range(self.tiling.rows.count):
            first = Block.of(self.tiling, row, 0)
            begin, end = max(top, first.top), min(bottom, first.top + _shape(first)[0])
            if begin >= end:
                continue
            for column in range(self.tiling.columns.count):
                block = Block.of(self.tiling, row, column)
                values = np.memmap(
                    self._path(row, column), "<f4", mode="r", shape=(self.maps, *_shape(block))
                )
                columns = slice(block.left, block.left + _shape(block)[1])
                rows = slice(begin - block.top, end - block.top)
                found[:, begin - top : end - top, columns] = values[:, rows]
        return found

    def _path(self, row: int, column: int) -> Path:
        return self.folder / f"{row:04d}_{column:04d}.float32"

    def _is_complete(self, row: int, column: int) -> bool:
        try:
            size = self._path(row, column).stat().st_size
        except FileNotFoundError:
            return False
        return size == self._bytes(row, column)

    def _bytes(self, row: int, column: int) -> int:
        return 4 * self.maps * math.prod(_shape(Block.of(self.tiling, row, column)))

    def _check_space(self) -> None:
        """Refuse to start if the disk has no room for the blocks that are missing."""
        needed = sum(self._bytes(*place) for place in self.tiling if not self._is_complete(*place))
        if shutil.disk_usage(self.folder).free < needed:
            raise full_disk_error(self.folder.parent, "the evidence of all years", needed=needed)


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


def _record(folder: Path) -> Any:
    """The inputs to the evidence in a folder; None if it holds none."""
    path = folder / _RECORD
    with suppress(OSError, ValueError, RecursionError):
        if path.stat().st_size <= _LARGEST_RECORD:
            found = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(found, dict) and found.get("format") == _FORMAT:
                return found.get("inputs")
    return None


def _shape(block: Block) -> tuple[int, int]:
    rows, columns = block.inside
    return rows.stop - rows.start, columns.stop - columns.start
