"""The format of a file by its first bytes, regardless of its name."""

from __future__ import annotations

from pathlib import Path

from euromine.support.errors import SceneError
from euromine.support.files import check_regular

GEOTIFF, JPEG2000, NETCDF, HDF5, ZIP = "GeoTIFF", "JPEG 2000", "netCDF", "HDF5", "zip"
VRT, PRODUCT_METADATA, UNKNOWN = "VRT", "Sentinel-2 metadata", "unknown"

_SIGNS = {
    GEOTIFF: (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    # In its container, and as a bare codestream.
    JPEG2000: (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    NETCDF: (b"CDF\1", b"CDF\2", b"CDF\5"),
    HDF5: (b"\x89HDF\r\n\x1a\n",),
    ZIP: (b"PK\3\4",),
}
HEAD_BYTES = 2048
"""The length of the beginning that `format_of_bytes` needs."""

DRIVERS = {GEOTIFF: "GTiff", JPEG2000: "JP2OpenJPEG"}
"""GDAL's drivers of the plain image formats."""


def format_of(path: Path) -> str:
    """The format of a file; `UNKNOWN` also if it cannot be read.

    Raises:
        SceneError: The file is a pipe or a device.
    """
    try:
        check_regular(path, error_class=SceneError)
        with path.open("rb") as file:
            return format_of_bytes(file.read(HEAD_BYTES))
    except OSError:
        return UNKNOWN  # opening it raises the reason


def format_of_bytes(head: bytes) -> str:
    """The format of a file that begins with these bytes."""
    for name, signs in _SIGNS.items():
        if head.startswith(signs):
            return name
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<"):
        if b"<VRTDataset" in head:
            return VRT
        if b"_User_Product" in head:
            return PRODUCT_METADATA
    return UNKNOWN
