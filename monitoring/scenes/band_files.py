"""Folders with one file per Sentinel-2 band, as JPEG 2000 or GeoTIFF."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from euromine.support.errors import SceneError
from euromine.support.image_headers import ImageHeader, read_header
from euromine.support.rasters import check_blocks, open_raster

from .band_stacks import BandStack, StackedBand
from .file_formats import DRIVERS, format_of
from .product_files import file_state
from .scene_rasters import SceneRaster, upper_tags

# B02.jp2, B8A_20m.tif, T33TWN_20220226T095029_B02_10m.jp2
_BAND_FILE = re.compile(r"(?:.*_)?(B(?:0[1-9]|1[0-2]|8A))(?:_(\d\d)m)?\.(?:jp2|tiff?)", re.IGNORECASE)
_FOLDERS = ("R10m", "R20m", "R60m")
# Folders with fewer are no images.
_LEAST_BANDS = 3


def band_in_name(name: str) -> str | None:
    """The band of a file such as T33TWN_20220226T095029_B02_10m.jp2; None for any other name."""
    match = _BAND_FILE.fullmatch(name)
    return match[1].upper() if match else None


def holds_band_files(folder: Path) -> bool:
    """Whether a folder holds an image as a file per band."""
    return len({band for band, _, _ in _candidates(folder)}) >= _LEAST_BANDS


def open_band_files(folder: Path, files: ExitStack) -> SceneRaster:
    """Open the files of a folder as one image at their finest resolution.

    Coarser bands are repeated (nearest neighbour).

    Raises:
        SceneError: A band has two files of one resolution, or the files do not go together.
    """
    finest: dict[str, tuple[int, Path]] = {}
    for band, resolution, path in _candidates(folder):
        if band in finest and finest[band][0] == resolution:
            raise SceneError(
                f"{folder}: found two files of {band}, {finest[band][1].name} and {path.name}; expected the "
                "bands of one image. Give each image a folder of its own."
            )
        found = (resolution, path)
        finest[band] = min(finest.get(band, found), found)
    opened = {band: _opened(path, files) for band, (_, path) in sorted(finest.items())}
    stack = BandStack(list(opened.values()))
    header = _joined_header(folder, opened)
    first = next(iter(opened.values())).dataset
    paths = [path for _, path in sorted(finest.values(), key=lambda each: each[1])]
    return SceneRaster(
        dataset=stack,
        header=header,
        tags=upper_tags(first),
        blocks=stack.blocks,
        state=tuple(map(file_state, paths)),
        source="GDAL's in the files",
    )


def _candidates(folder: Path) -> list[tuple[str, int, Path]]:
    """Band, resolution in metres and path of each file of a band; 0 for a name without a resolution."""
    folders = [folder, *(folder / name for name in _FOLDERS)]
    paths = [path for each in folders if each.is_dir() for path in sorted(each.iterdir())]
    return [
        (match[1].upper(), int(match[2] or 0), path)
        for path in paths
        if (match := _BAND_FILE.fullmatch(path.name)) and not path.name.startswith(".")
    ]


def _opened(path: Path, files: ExitStack) -> StackedBand:
    driver = DRIVERS.get(format_of(path), "GTiff")
    dataset = open_raster(str(path), files, SceneError, driver=driver)
    check_blocks(dataset, str(path), SceneError)
    if dataset.count != 1:
        raise SceneError(f"{path}: found {dataset.count} bands; expected the one in its name.")
    return StackedBand(dataset, 1, str(path))


def _joined_header(folder: Path, opened: dict[str, StackedBand]) -> ImageHeader:
    """The headers of all files as one.

    Raises:
        SceneError: They have different nodata values, or masks.
    """
    headers = [read_header(band.dataset) for band in opened.values()]
    nodata = {header.nodata for header in headers}
    if len(nodata) > 1 or any(header.has_mask for header in headers):
        raise SceneError(
            f"{folder}: found bands with masks or different nodata values; expected one nodata value for "
            "all. Set it with gdal_edit.py -a_nodata."
        )
    return replace(
        headers[0],
        texts=tuple(opened),
        scales=tuple(header.scales[0] for header in headers),
        offsets=tuple(header.offsets[0] for header in headers),
    )
