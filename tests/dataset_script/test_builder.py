"""Scenes become rows: which pixels, in which order, and what the `datasets` builder makes of them."""

import io
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from euromine.dataset_script import scene_windows
from euromine.dataset_script.archive import Archive
from euromine.dataset_script.builder import EuroMine
from euromine.dataset_script.patch_rows import FEATURES, rows_of
from euromine.dataset_script.scene_windows import read_images, read_labels

YEARS = (2015, 2016, 2017)
# The windows of 215 x 330 pixels by hand: whole ones, bottom row, right column, corner.
AUSTRIA_WINDOWS = (
    ((0, 0), [0, 0, 160, 160]),
    ((0, 160), [0, 0, 160, 160]),
    ((55, 0), [105, 0, 160, 160]),
    ((55, 160), [105, 0, 160, 160]),
    ((0, 170), [0, 150, 160, 160]),
    ((55, 170), [105, 150, 160, 160]),
)
# As in the published archive, labels have no georeferencing.
pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.usefixtures("own_cache"),
]


class MemoryScene:
    """A scene whose files are arrays."""

    def __init__(self, height: int, width: int, years: int) -> None:
        self.site, self.country = "Here_1", "Here"
        self.height, self.width = height, width
        self.years = tuple(range(2015, 2015 + years))
        shape = (years, 10, height, width)
        self.images = np.arange(np.prod(shape), dtype=np.int64).astype(np.int16).reshape(shape)
        self.labels = (self.images[:, 0] % 3).astype(np.uint8)
        self.lines_read = 0

    def read_image(self, year: int, top: int, height: int) -> Any:
        self.lines_read += height
        return self.images[year - 2015, :, top : top + height]

    def read_label(self, year: int, top: int, height: int) -> Any:
        return self.labels[year - 2015, top : top + height]


def read(path: Path) -> Any:
    with rasterio.open(path) as dataset:
        return dataset.read()


def windows_by_hand(height: int, width: int) -> list[tuple[int, int]]:
    """(top, left) of each window: whole ones row by row, bottom row, right column, corner."""
    tops = list(range(0, height - 159, 160)) or [0]
    lefts = list(range(0, width - 159, 160)) or [0]
    last_top = [height - 160] if height > 160 and height % 160 else []
    last_left = [width - 160] if width > 160 and width % 160 else []
    groups = ((tops, lefts), (last_top, lefts), (tops, last_left), (last_top, last_left))
    return [(top, left) for rows, columns in groups for top in rows for left in columns]


def cut_by_hand(array: Any, top: int, left: int) -> Any:
    window = array[..., top : top + 160, left : left + 160]
    missing = ((0, 160 - window.shape[-2]), (0, 160 - window.shape[-1]))
    return np.pad(window, ((0, 0),) * (window.ndim - 2) + missing, mode="wrap")


def test_rows_hold_the_pixels_that_rasterio_reads(small_archive: Path) -> None:
    folder = small_archive / "EuroMineNet" / "Austria_1"
    with Archive(small_archive).sites["Austria_1"].open() as scene:
        rows = list(rows_of(scene))
    assert len(rows) == len(AUSTRIA_WINDOWS) * len(YEARS)
    expected = [(window, year) for window in AUSTRIA_WINDOWS for year in YEARS]
    for number, (row, (((top, left), own), year)) in enumerate(zip(rows, expected, strict=True)):
        assert row["patch_id"] == f"Austria_1_{number // len(YEARS):04d}"
        assert (row["year"], row["top"], row["left"], row["own"]) == (year, top, left, own)
        assert (row["site"], row["country"]) == ("Austria_1", "Austria")
        assert (row["scene_height"], row["scene_width"], row["crs"]) == (215, 330, "EPSG:4326")
        assert row["transform"] == [9.0e-5, 0.0, 14.0, 0.0, -9.0e-5, 47.0]
        image = read(folder / "image" / f"Year{year}.tif")[:, top : top + 160, left : left + 160]
        label = read(folder / "label" / f"Year{year}.tif")[0, top : top + 160, left : left + 160] // 255
        np.testing.assert_array_equal(np.frombuffer(row["image"], "<i2").reshape(10, 160, 160), image)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(row["label"]["bytes"]))), label)
        assert row["mine_pixels"] == label[own[0] : own[2], own[1] : own[3]].sum()


def test_a_scene_under_a_patch_repeats_itself(small_archive: Path) -> None:
    with Archive(small_archive).sites["Bulgaria_1"].open() as scene:
        row = next(rows_of(scene))
    image = read(small_archive / "EuroMineNet" / "Bulgaria_1" / "image" / "Year2015.tif")
    expected = np.tile(image, (1, 2, 3))[:, :160, :160]
    np.testing.assert_array_equal(np.frombuffer(row["image"], "<i2").reshape(10, 160, 160), expected)
    assert row["own"] == [0, 0, 97, 61]


@pytest.mark.parametrize("site", ["Austria_1", "Bulgaria_1", "Czechia_2"])
def test_mine_pixels_of_the_patches_add_up_to_the_scene(small_archive: Path, site: str) -> None:
    with Archive(small_archive).sites[site].open() as scene:
        rows = list(rows_of(scene))
        years = scene.years
    for year in years:
        label = read(small_archive / "EuroMineNet" / site / "label" / f"Year{year}.tif")
        assert sum(row["mine_pixels"] for row in rows if row["year"] == year) == np.count_nonzero(label)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 700), st.integers(1, 700), st.integers(1, 3), st.integers(1, 400))
def test_windows_are_the_same_however_few_lines_are_read_at_once(
    monkeypatch: pytest.MonkeyPatch, height: int, width: int, years: int, lines: int
) -> None:
    scene: Any = MemoryScene(height, width, years)
    monkeypatch.setattr(scene_windows, "_READ_BYTES", lines * width * 20 * years)
    windows = windows_by_hand(height, width)
    images, labels = list(read_images(scene)), list(read_labels(scene))
    assert len(images) == len(labels) == len(windows)
    for image, label, (top, left) in zip(images, labels, windows, strict=True):
        assert (label.patch.top, label.patch.left) == (top, left)
        np.testing.assert_array_equal(image, cut_by_hand(scene.images, top, left))
        np.testing.assert_array_equal(label.labels, cut_by_hand(scene.labels, top, left))
    # Each line once, but for those that the bottom row shares with the row above it.
    assert scene.lines_read <= years * (height + 160)


@pytest.mark.parametrize("config", ["annual", "series", "pairs"])
def test_the_builder_makes_what_the_shards_hold(
    small_archive: Path, splits: Path, built: Path, tmp_path: Path, config: str
) -> None:
    euromine = EuroMine(
        config, archive=small_archive, splits=splits, dataset_name="euromine", cache_dir=tmp_path
    )
    euromine.download_and_prepare()
    made, shards = euromine.as_dataset(), datasets.load_dataset(str(built), config)
    assert set(made) == set(shards) == {"train", "test"}
    for split in made:
        assert made[split].features == shards[split].features == FEATURES[config]
        assert made[split].data.table.equals(shards[split].data.table)


def test_what_the_builder_prepared_is_found_by_its_bare_name(
    small_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # no folder ./euromine here
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    EuroMine("series", archive=small_archive, dataset_name="euromine").download_and_prepare()
    found = datasets.load_dataset("euromine", "series", split="train")
    assert found["patch_id"][0] == "Austria_1_0000"


def test_the_builder_notices_another_archive(small_archive: Path, splits: Path, tmp_path: Path) -> None:
    whole = EuroMine(archive=small_archive, dataset_name="euromine", cache_dir=tmp_path)
    other = EuroMine(archive=small_archive, splits=splits, dataset_name="euromine", cache_dir=tmp_path)
    assert whole.config.name == "annual"
    assert whole.cache_dir != other.cache_dir


def test_an_archive_of_no_listed_site_is_refused(small_archive: Path, tmp_path: Path) -> None:
    splits = tmp_path / "none.json"
    splits.write_text('{"train": [], "validation": [], "test": []}')
    with pytest.raises(ValueError, match="Austria_1"):
        EuroMine(archive=small_archive, splits=splits, cache_dir=tmp_path)
