"""Detection of HDF5 files that refer to other files, which netCDF-4 never needs.

HDF5 File Format Specification, version 3: link messages of type 64 (III.B, "external"), external data files
(IV.A.2.h, whose names lie in a local heap), and virtual datasets (VII.A, in a global heap). The library opens
the files that these name, wherever they lie.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from pathlib import Path

# Version 1, flags with the bit "type is present", type 64.
_LINK = re.compile(rb"\x01[\x08-\x0f\x18-\x1f]\x40")
_HAS_ORDER, _HAS_CHARACTER_SET, _LENGTH_OF_LENGTH = 4, 16, 3
# Names of data files lie in local heaps. Groups of netCDF-4 are kept in order of creation and have none.
_LOCAL_HEAP = b"HEAP\0"
_FRACTAL_HEAP, _FILTERS_AT = b"FRHP\0", 7
_GLOBAL_HEAP, _OBJECT_HEADER = b"GCOL\1", 16
_PRINTABLE = re.compile(rb"[^\x00-\x1f\x7f]+\0")
_LONGEST_NAME = 4096


def reference_elsewhere(path: Path) -> str | None:
    """Describe the part of an HDF5 file that may lead to other files; None if there is none."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data.find(_LOCAL_HEAP) >= 0:
            return "a group or data file of plain HDF5"
        if any(_number(data, place + _FILTERS_AT, 2) for place in _places(data, _FRACTAL_HEAP)):
            return "a compressed group"
        if any(_is_external(data, match.end(), data[match.start() + 1]) for match in _LINK.finditer(data)):
            return "a link to another file"
        if any(_holds_virtual(data, place) for place in _places(data, _GLOBAL_HEAP)):
            return "a virtual dataset"
    return None


def _places(data: mmap.mmap, sign: bytes) -> Iterator[int]:
    place = data.find(sign)
    while place >= 0:
        yield place
        place = data.find(sign, place + 1)


def _number(data: mmap.mmap, place: int, size: int) -> int:
    return int.from_bytes(data[place : place + size], "little")


def _is_external(data: mmap.mmap, place: int, flags: int) -> bool:
    """Whether a link's type is followed by an external link, not by bytes that only look like its type."""
    place += 8 * bool(flags & _HAS_ORDER) + bool(flags & _HAS_CHARACTER_SET)
    size = 1 << (flags & _LENGTH_OF_LENGTH)
    place += size + _number(data, place, size)
    length = _number(data, place, 2)
    # Version and flags of the link's value are 0; the file's name follows.
    value = data[place + 2 : place + 2 + min(length, _LONGEST_NAME)]
    return value[:1] == b"\0" and _PRINTABLE.match(value, 1) is not None


def _holds_virtual(data: mmap.mmap, place: int) -> bool:
    """Whether an object of a global heap is the mapping of a virtual dataset."""
    end = min(place + _number(data, place + 8, 8), len(data))
    place += _OBJECT_HEADER
    while place + _OBJECT_HEADER <= end:
        index, size = _number(data, place, 2), _number(data, place + 8, 8)
        if index == 0:  # the free space
            return False
        value = data[place + _OBJECT_HEADER : place + _OBJECT_HEADER + min(size, _LONGEST_NAME)]
        entries = int.from_bytes(value[1:9], "little")
        # Version 1 has flags before the names.
        is_mapping = value[:1] == b"\1" or (value[:1] == b"\0" and _PRINTABLE.match(value, 9))
        if is_mapping and len(value) > 9 and 0 < entries < 2**32:
            return True
        place += _OBJECT_HEADER + (size + 7) // 8 * 8
    return False
