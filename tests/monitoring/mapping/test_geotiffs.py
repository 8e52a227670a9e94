"""Cloud-Optimised GeoTIFFs: their structure by the specification, and that they are whole or absent."""

import contextlib
import itertools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.env import get_gdal_config

from euromine.monitoring.mapping.geotiffs import (
    BLOCK,
    CogWriter,
    finish_together,
    is_whole,
    read_map_record,
)
from euromine.monitoring.scenes.grids import Grid

MakeGrid = Callable[[int, int], Grid]


def write(path: Path, values: NDArray[Any], grid: Grid, nodata: float | None = None, **options: Any) -> None:
    """Write an array (height, width) in one go."""
    with CogWriter(path, grid, values.dtype, nodata, **options) as writer:
        writer.write(values)


@dataclass(frozen=True)
class Directory:
    """An image file directory of a TIFF: where it lies, its fields, and where its tiles do."""

    place: int
    width: int
    height: int
    tile: tuple[int, int]
    tiles: tuple[int, ...]


def directories(path: Path) -> list[Directory]:
    """All image file directories, read by the TIFF 6.0 specification (little-endian, 32-bit offsets)."""
    content = path.read_bytes()
    assert content[:4] == b"II*\0"
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 12: 8, 16: 8}
    letters = {1: "B", 3: "H", 4: "I", 16: "Q"}
    found = []
    (place,) = struct.unpack_from("<I", content, 4)
    while place:
        (count,) = struct.unpack_from("<H", content, place)
        fields: dict[int, tuple[int, ...]] = {}
        for number in range(count):
            entry = place + 2 + 12 * number
            tag, kind, length = struct.unpack_from("<HHI", content, entry)
            if kind in letters:
                is_inside = sizes[kind] * length <= 4
                where = entry + 8 if is_inside else struct.unpack_from("<I", content, entry + 8)[0]
                fields[tag] = struct.unpack_from(f"<{length}{letters[kind]}", content, where)
        assert 322 in fields, "it is not tiled"
        tile = (fields[322][0], fields[323][0])
        found.append(Directory(place, fields[256][0], fields[257][0], tile, fields[324]))
        (place,) = struct.unpack_from("<I", content, place + 2 + 12 * count)
    return found


def check_is_cloud_optimised(path: Path) -> list[Directory]:
    """As the format's specification wants it: https://cogeo.org and GDAL's COG driver.

    Tiles; first all directories, from the full image to the smallest overview, then the tiles, from the
    smallest overview to the full image.
    """
    found = directories(path)
    assert b"LAYOUT=IFDS_BEFORE_DATA" in path.read_bytes()[:300]
    places = [each.place for each in found]
    assert places == sorted(places)
    first_tile = min(place for each in found for place in each.tiles if place)
    assert places[-1] < first_tile
    sides = [each.width for each in found]
    assert sides == sorted(sides, reverse=True)
    ends = [[place for place in each.tiles if place] for each in reversed(found)]
    for smaller, larger in itertools.pairwise(ends):
        assert max(smaller) < min(larger)
    for each in found:
        assert each.tile == (BLOCK, BLOCK)
    assert max(found[-1].width, found[-1].height) <= BLOCK
    for larger, smaller in itertools.pairwise(found):
        assert max(abs(2 * smaller.width - larger.width), abs(2 * smaller.height - larger.height)) <= 1
    return found


@pytest.mark.parametrize(
    ("size", "levels"), [((1, 1), 1), ((512, 100), 1), ((513, 700), 2), ((1100, 2300), 4)]
)
def test_files_are_cloud_optimised(
    tmp_path: Path, grid: MakeGrid, size: tuple[int, int], levels: int
) -> None:
    values = np.random.default_rng(0).random(size, np.float32)
    write(tmp_path / "a.tif", values, grid(*size), np.nan, resampling="average")
    assert len(check_is_cloud_optimised(tmp_path / "a.tif")) == levels


def test_numbers_place_and_gaps_come_back(tmp_path: Path, grid: MakeGrid) -> None:
    values = np.random.default_rng(0).integers(0, 3, (700, 300)).astype(np.uint8)
    write(tmp_path / "a.tif", values, grid(700, 300), 2, description="mine")
    with rasterio.open(tmp_path / "a.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), values)
        assert Grid.of(dataset) == grid(700, 300)
        assert dataset.nodata == 2
        assert dataset.descriptions == ("mine",)


def test_overviews_leave_gaps_out(tmp_path: Path, grid: MakeGrid) -> None:
    amounts = np.full((1024, 1024), np.nan, np.float32)
    amounts[::2, ::2] = 3
    write(tmp_path / "amounts.tif", amounts, grid(1024, 1024), np.nan, resampling="average")
    classes = np.full((1024, 1024), 255, np.uint8)
    classes[::2] = 1
    classes[::8] = 0
    write(tmp_path / "classes.tif", classes, grid(1024, 1024), 255, resampling="mode")
    for name, expected in (("amounts", {3.0}), ("classes", {0, 1})):
        with rasterio.open(tmp_path / f"{name}.tif", overview_level=0) as dataset:
            assert set(np.unique(dataset.read(1)).tolist()) == expected


def test_rows_come_in_any_portions(tmp_path: Path, grid: MakeGrid) -> None:
    values = np.random.default_rng(0).random((1000, 20), np.float32)
    with CogWriter(tmp_path / "a.tif", grid(1000, 20), np.float32, np.nan) as writer:
        for begin, end in ((0, 1), (1, 500), (500, 501), (501, 1000)):
            writer.write(values[begin:end])
    with rasterio.open(tmp_path / "a.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), values)


def test_files_completed_together_are_those_completed_one_by_one(tmp_path: Path, grid: MakeGrid) -> None:
    maps = np.random.default_rng(1).integers(0, 3, (4, 40, 50), dtype=np.uint8)
    for place, values in enumerate(maps):
        write(tmp_path / f"alone_{place}.tif", values, grid(40, 50), 255, record={"place": place})
    with contextlib.ExitStack() as files:
        writers = [
            files.enter_context(
                CogWriter(
                    tmp_path / f"together_{place}.tif", grid(40, 50), np.uint8, 255, record={"place": place}
                )
            )
            for place in range(len(maps))
        ]
        for writer, values in zip(writers, maps, strict=True):
            writer.write(values)
        finish_together(writers)
        assert len(list(tmp_path.glob("together_*.tif"))) == len(maps)
    for place in range(len(maps)):
        alone, together = (tmp_path / f"{name}_{place}.tif" for name in ("alone", "together"))
        assert alone.read_bytes() == together.read_bytes()


def test_of_files_completed_together_an_unfinished_one_leaves_nothing(tmp_path: Path, grid: MakeGrid) -> None:
    with contextlib.ExitStack() as files:
        files.enter_context(pytest.raises(ValueError, match="found 0 rows written; expected 40"))
        writer = files.enter_context(CogWriter(tmp_path / "a.tif", grid(40, 50), np.uint8))
        finish_together([writer])
    assert list(tmp_path.iterdir()) == []


def test_several_bands_have_names_statistics_and_a_scale(tmp_path: Path, grid: MakeGrid) -> None:
    values = np.random.default_rng(5).integers(-9000, 9000, (3, 90, 70)).astype(np.int16)
    values[1, :4] = -32768
    names = ["ndvi", "mndwi", "bsi"]
    path = tmp_path / "indices.tif"
    with CogWriter(path, grid(90, 70), np.int16, -32768, bands=names, scale=1e-4) as writer:
        for top in (0, 13, 80):
            writer.write(values[:, top : {0: 13, 13: 80, 80: 90}[top]])
        with pytest.raises(ValueError, match=r"found int16 \(10, 70\); expected int16 \(3, rows, 70\)"):
            writer.write(values[0, :10])
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(), values)
        assert (file.descriptions, file.scales, file.nodata) == (tuple(names), (1e-4,) * 3, -32768)
        for band, numbers in enumerate(values, start=1):
            known = numbers[numbers != -32768]
            assert float(file.tags(band)["STATISTICS_MEAN"]) == pytest.approx(known.mean())
    assert is_whole(path)


def test_a_record_is_read_back_and_other_files_have_none(tmp_path: Path, grid: MakeGrid) -> None:
    record = {"model": "abc", "scale": [0.1, 1e-4], "note": "ä <&>", "none": None}
    write(tmp_path / "a.tif", np.zeros((5, 5), np.uint8), grid(5, 5), record=record)
    assert read_map_record(tmp_path / "a.tif") == record
    write(tmp_path / "b.tif", np.zeros((5, 5), np.uint8), grid(5, 5))
    (tmp_path / "c.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:40])
    for name in ("b.tif", "c.tif", "missing.tif"):
        assert read_map_record(tmp_path / name) is None


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, grid: MakeGrid) -> None:
    path = tmp_path / "a.tif"
    write(path, np.ones((5, 5), np.uint8), grid(5, 5))
    old = path.read_bytes()
    with pytest.raises(RuntimeError), CogWriter(path, grid(5, 5), np.uint8) as writer:  # noqa: PT012
        writer.write(np.zeros((3, 5), np.uint8))
        raise RuntimeError
    assert path.read_bytes() == old
    assert [each.name for each in tmp_path.iterdir()] == ["a.tif"]


def test_what_does_not_fit_is_refused(tmp_path: Path, grid: MakeGrid) -> None:
    path = tmp_path / "a.tif"
    for rows in (np.zeros((5, 4), np.uint8), np.zeros((5, 5), np.float32), np.zeros(5, np.uint8)):
        with (
            pytest.raises(ValueError, match=r"rows: found .*; expected uint8 \(rows, 5\)"),
            CogWriter(path, grid(5, 5), np.uint8) as writer,
        ):
            writer.write(rows)
    with pytest.raises(ValueError, match="found 3 rows written; expected 5"):
        write(path, np.zeros((3, 5), np.uint8), grid(5, 5))
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path, grid: MakeGrid) -> None:
    left = tmp_path / ".a.tif.partial"
    left.mkdir()
    (left / "rows.tif").write_bytes(b"torn")
    write(tmp_path / "a.tif", np.ones((5, 5), np.uint8), grid(5, 5))
    assert [each.name for each in tmp_path.iterdir()] == ["a.tif"]


def test_a_folder_that_cannot_be_written_to_is_reported(tmp_path: Path, grid: MakeGrid) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file: cannot be written to \(.*\)\. Choose another folder"):
        write(tmp_path / "file" / "a.tif", np.ones((5, 5), np.uint8), grid(5, 5))


def test_a_disk_without_room_for_the_rows_is_reported_beforehand(
    tmp_path: Path, grid: MakeGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("usage", (), {"free": 24})
    monkeypatch.setattr("euromine.monitoring.mapping.geotiffs.shutil.disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"no space left for a\.tif in .* Free some space and start again"):
        write(tmp_path / "a.tif", np.ones((5, 5), np.uint8), grid(5, 5))
    assert not list(tmp_path.iterdir())


# The rows take 1,440,000 bytes and the copy, of noise, about as many.
@pytest.mark.parametrize("room", [100, 4_000, 300_000, 1_100_000, 1_300_000])
def test_a_disk_that_gets_full_leaves_the_old_file_and_nothing_else(
    tmp_path: Path,
    grid: MakeGrid,
    room: int,
    full_disk: Callable[[int], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    old = np.zeros((600, 600), np.float32)
    write(tmp_path / "old.tif", old, grid(600, 600))
    values = np.random.default_rng(0).random((600, 600), np.float32)
    full_disk(room)
    for name in ("old.tif", "new.tif"):
        with pytest.raises(OSError, match=rf"{name}: could not be written in full .*; the disk may be full"):
            write(tmp_path / name, values, grid(600, 600))
    full_disk(10**9)
    assert capfd.readouterr() == ("", ""), "libtiff printed lines of its own"
    assert [each.name for each in tmp_path.iterdir()] == ["old.tif"]
    with rasterio.open(tmp_path / "old.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), old)


def test_many_files_at_once_share_the_room_of_four(tmp_path: Path, grid: MakeGrid) -> None:
    before = get_gdal_config("GDAL_CACHEMAX")
    with contextlib.ExitStack() as files:
        writers = [
            files.enter_context(CogWriter(tmp_path / f"{number}.tif", grid(4, 5), np.uint8))
            for number in range(6)
        ]
        assert get_gdal_config("GDAL_CACHEMAX") == 4 * 16 * 2**20
        for writer in writers:
            writer.write(np.ones((4, 5), np.uint8))
    assert get_gdal_config("GDAL_CACHEMAX") == before
