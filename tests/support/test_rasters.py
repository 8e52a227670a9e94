"""Rasters whose headers promise more than memory holds are refused; decoded blocks are kept as reserved."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import rasterio

from euromine.support.errors import SceneError
from euromine.support.rasters import BlockRows, check_blocks, gdal_cache, open_raster


def write_sparse(path: Path, height: int, width: int, count: int = 10, **options: object) -> Path:
    """A GeoTIFF of a few kilobytes without a single block."""
    profile = {"height": height, "width": width, "count": count, "dtype": "int16", "SPARSE_OK": True}
    with rasterio.open(path, "w", driver="GTiff", **{**profile, **options}):
        pass
    return path


def check(path: Path) -> None:
    with ExitStack() as files:
        dataset = open_raster(str(path), files, SceneError)
        check_blocks(dataset, str(path), SceneError)


@pytest.mark.parametrize(
    ("size", "options", "found"),
    [
        ((20_000, 20_000), {"tiled": True}, r"[\d.]+ MB for an image of 7629 MB; expected at most 500 times"),
        (
            (64, 20_000_000),
            {"interleave": "band"},
            "64 x 20000000 pixels; expected at most 1000000 on a side",
        ),
        ((20_000_000, 64), {}, "20000000 x 64 pixels; expected at most 1000000 on a side"),
    ],
)
def test_a_sparse_file_that_expands_is_refused(
    tmp_path: Path, size: tuple[int, int], options: dict[str, object], found: str
) -> None:
    path = write_sparse(tmp_path / "bomb.tif", *size, **options)
    assert path.stat().st_size < 2**26
    with pytest.raises(SceneError, match=rf"bomb\.tif: found {found}"):
        check(path)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (
            {"interleave": "band", "blockysize": 8000},
            r"blocks of 8000 x 8000, 1220 MB in 10 bands; expected at",
        ),
        (
            {"interleave": "pixel", "blockysize": 8000, "compress": "deflate"},
            r"blocks of 8000 x 8000 x 10, 1220 MB each; expected at",
        ),
    ],
)
def test_a_strip_that_fills_memory_is_refused_also_in_a_large_file(
    tmp_path: Path, options: dict[str, object], found: str
) -> None:
    path = write_sparse(tmp_path / "strip.tif", 8000, 8000, **options)
    with path.open("r+b") as file:  # as long as the strips would be, without their bytes on the disk
        file.truncate(8000 * 8000 * 20)
    with pytest.raises(SceneError, match=rf"strip\.tif: found {found} most .*TILED=YES"):
        check(path)


@pytest.mark.parametrize(
    "options",
    [{}, {"interleave": "band"}, {"tiled": True}, {"tiled": True, "blockxsize": 1024, "blockysize": 1024}],
)
def test_a_whole_sentinel_2_tile_is_accepted_in_strips_and_tiles(
    tmp_path: Path, options: dict[str, object]
) -> None:
    path = write_sparse(tmp_path / "T32UMB.tif", 10_980, 10_980, **options)
    with path.open("r+b") as file:
        file.truncate(10_980 * 10_980 * 10 // 5)  # a tenth of the pixels' bytes, as after good compression
    check(path)


def test_a_small_constant_image_is_accepted(tmp_path: Path) -> None:
    profile = {"height": 2000, "width": 2000, "count": 10, "dtype": "int16", "compress": "deflate"}
    with rasterio.open(tmp_path / "sea.tif", "w", driver="GTiff", **profile) as file:
        file.write(np.ones((2000, 2000), "int16"), 1)
    check(tmp_path / "sea.tif")


@pytest.mark.parametrize(
    ("options", "whole", "beside"),
    [
        # Blocks of 16 x 32 pixels, ten beside each other: windows of 20 rows may touch three rows of blocks,
        # and of 40 columns three columns.
        ({"tiled": True, "blockysize": 16, "blockxsize": 32}, 3 * 16 * 320, 3 * 16 * 3 * 32),
        # Strips of one row.
        ({"tiled": False, "blockysize": 1}, 21 * 310, 21 * 310),
    ],
)
def test_blocks_that_neighbouring_windows_share_are_counted(
    tmp_path: Path, options: dict[str, object], whole: int, beside: int
) -> None:
    with rasterio.open(write_sparse(tmp_path / "a.tif", 200, 310, count=3, **options)) as dataset:
        blocks = BlockRows.of(dataset)
    assert blocks.touched_bytes(20) == 6 * whole
    assert blocks.touched_bytes(20, 40) == 6 * beside
    assert blocks.touched_bytes(20, 400) == 6 * whole


def test_a_name_that_is_not_utf_8_is_refused_in_one_sentence(tmp_path: Path) -> None:
    name = tmp_path / "Tr\udce4ne 2021.tif"  # Latin-1's a-umlaut, as Python lists it
    write_sparse(tmp_path / "plain.tif", 4, 4).rename(name)
    with pytest.raises(
        SceneError, match=r"Tr\\udce4ne 2021\.tif: found a name that is not UTF-8; expected UTF-8"
    ):
        check(name)


def test_blocks_are_kept_while_room_is_reserved_and_dropped_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    profile = {"width": 64, "height": 64, "count": 1, "dtype": "uint8", "compress": None}
    with rasterio.open(path, "w", driver="GTiff", **profile) as file:
        file.write(np.full((1, 64, 64), 7, np.uint8))
    with rasterio.open(path) as dataset:
        with gdal_cache(2**20):
            assert set(dataset.read().flat) == {7}
            path.write_bytes(path.read_bytes().replace(b"\7" * 4096, b"\x09" * 4096))
            assert set(dataset.read().flat) == {7}
        assert set(dataset.read().flat) == {9}
