"""netCDF files: classic ones by SciPy, and HDF5 files of a few bytes that refer to other files."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from scipy.io import netcdf_file

_UNDEFINED = 0xFFFFFFFFFFFFFFFF
_SUPERBLOCK = 96


def write_netcdf(
    path: Path,
    variables: dict[str, NDArray[Any]],
    *,
    attributes: dict[str, Any] | None = None,
    days: tuple[int, ...] = (),
    epsg: int = 32633,
    side: float = 10,
) -> Path:
    """Variables (y, x), or (time, y, x) where there are days since 2015-01-01, by the CF conventions."""
    height, width = next(iter(variables.values())).shape[-2:]
    with netcdf_file(path, "w") as file:
        file.Conventions = "CF-1.8"
        file.createDimension("y", height)
        file.createDimension("x", width)
        if days:
            file.createDimension("time", len(days))
            time = file.createVariable("time", "i4", ("time",))
            time.units, time.standard_name, time.axis = "days since 2015-01-01", "time", "T"
            time[:] = np.array(days)
        for name, start, step, count in (("y", 5_000_000, -side, height), ("x", 300_000, side, width)):
            axis = file.createVariable(name, "f8", (name,))
            axis.units, axis.standard_name = "m", f"projection_{name}_coordinate"
            axis[:] = start + step * (np.arange(count) + 0.5)
        crs = file.createVariable("crs", "i4", ())
        crs.crs_wkt = CRS.from_epsg(epsg).to_wkt()
        crs.grid_mapping_name = "transverse_mercator"
        for name, values in variables.items():
            dimensions = ("time", "y", "x") if values.ndim == 3 else ("y", "x")
            variable = file.createVariable(name, values.dtype.str[1:], dimensions)
            variable.grid_mapping = "crs"
            for key, value in (attributes or {}).items():
                setattr(variable, key, value)
            variable[:] = values
    return path


def write_hdf5_link(path: Path, target: Path) -> Path:
    """An HDF5 file whose variable B02 is a link to that of another file."""
    name, value = b"B02", b"\0" + bytes(target) + b"\0/B02\0"
    body = struct.pack("<BBBqB", 1, 4 | 8, 64, 0, len(name)) + name + struct.pack("<H", len(value)) + value
    return _write(path, _header(_group(), _message(0x06, body)))


def write_hdf5_raw(path: Path, target: Path, height: int, width: int) -> Path:
    """An HDF5 file whose variable B02 lies in the bytes of another file."""
    size = height * width * 2

    def dataset(heap: int) -> bytes:
        files = struct.pack("<B3xHHQ", 1, 1, 1, heap) + struct.pack("<QQQ", 8, 0, size)
        return _header(*_variable(height, width), _layout(_UNDEFINED, size), _message(0x07, files))

    names = b"\0" * 8 + bytes(target) + b"\0"
    names += b"\0" * (-len(names) % 8)
    root = len(_header(_group(), _hard_link(0)))
    start = _SUPERBLOCK + root
    heap = start + len(dataset(0))
    local = b"HEAP" + struct.pack("<B3xQQQ", 0, len(names), 1, heap + 32) + names
    return _write(path, _header(_group(), _hard_link(start)) + dataset(heap) + local)


def write_hdf5(path: Path, values: NDArray[np.uint16]) -> Path:
    """An HDF5 file with a variable B02 (height, width) of its own."""
    height, width = values.shape
    start = _SUPERBLOCK + len(_header(_group(), _hard_link(0)))

    def dataset(place: int) -> bytes:
        return _header(*_variable(height, width), _layout(place, values.nbytes))

    place = start + len(dataset(0))
    data = values.astype("<u2").tobytes()
    return _write(path, _header(_group(), _hard_link(start)) + dataset(place) + data)


def _write(path: Path, content: bytes) -> Path:
    signature = b"\x89HDF\r\n\x1a\n" + struct.pack("<BBBBBBBBHHI", 0, 0, 0, 0, 0, 8, 8, 0, 4, 16, 0)
    addresses = struct.pack("<QQQQ", 0, _UNDEFINED, _SUPERBLOCK + len(content), _UNDEFINED)
    root = struct.pack("<QQII16x", 0, _SUPERBLOCK, 0, 0)
    path.write_bytes(signature + addresses + root + content)
    return path


def _message(kind: int, body: bytes) -> bytes:
    body += b"\0" * (-len(body) % 8)
    return struct.pack("<HHB3x", kind, len(body), 0) + body


def _header(*messages: bytes) -> bytes:
    body = b"".join(messages)
    return struct.pack("<BBHII4x", 1, 0, len(messages), 1, len(body)) + body


def _group() -> bytes:
    """Links in order of creation."""
    links = struct.pack("<BBqQQQ", 0, 3, 10, _UNDEFINED, _UNDEFINED, _UNDEFINED)
    body = b"".join((links[:10], links[10:]))
    return _message(0x02, body)


def _hard_link(address: int) -> bytes:
    return _message(0x06, struct.pack("<BBqB", 1, 4, 0, 3) + b"B02" + struct.pack("<Q", address))


def _variable(height: int, width: int) -> tuple[bytes, ...]:
    space = _message(0x01, struct.pack("<BBB5xQQ", 1, 2, 0, height, width))
    kind = _message(0x03, struct.pack("<B3sIHH", 0x10, b"\0\0\0", 2, 0, 16))
    return space, kind, _message(0x05, struct.pack("<BBBB", 2, 2, 0, 0))


def _layout(address: int, size: int) -> bytes:
    return _message(0x08, struct.pack("<BBQQ", 3, 1, address, size))
