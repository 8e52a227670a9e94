"""Band statistics against NumPy on all pixels at once, and against the published figures."""

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from euromine.dataset_script import statistics
from euromine.dataset_script.archive import Archive
from euromine.dataset_script.archive_bands import BANDS
from euromine.dataset_script.statistics import PRESETS, BandStatistics, BandSums, statistics_of, sums_of
from euromine.support.errors import ArchiveError

from .sound_site import IMAGE, PLACE

FACTS = Path(__file__).parents[2].parent / "shared" / "facts"

images = hnp.arrays(np.int16, st.tuples(st.just(3), st.integers(1, 9), st.integers(1, 9)))


def counted(*parts: NDArray[Any], bands: tuple[str, ...] = ("a", "b", "c")) -> BandSums:
    sums = BandSums(bands)
    for part in parts:
        sums.add(part)
    return sums


def all_pixels(archive: Path, sites: list[str]) -> NDArray[np.int16]:
    """`(10, pixels)` of all years of some sites, read by plain rasterio."""
    pixels = []
    for site in sites:
        for path in sorted((archive / "EuroMineNet" / site / "image").glob("*.tif")):
            with rasterio.open(path) as dataset:
                pixels.append(dataset.read().reshape(10, -1))
    return np.concatenate(pixels, axis=1)


def test_statistics_of_an_archive_are_those_of_numpy_on_all_pixels(
    small_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_WINDOW_PIXELS", 7 * 330)  # so that every scene takes many windows
    sites = ["Austria_1", "Czechia_2"]
    found = statistics_of(Archive(small_archive), sites)
    pixels = all_pixels(small_archive, sites)
    assert found.bands == BANDS
    assert found.pixels == pixels.shape[1] == 3 * 215 * 330 + 2 * 170 * 120
    # NumPy rounds along the way, so it agrees to its own last bits; its integer sums agree exactly.
    assert found.mean == tuple(int(total) / found.pixels for total in pixels.sum(axis=1, dtype=np.int64))
    np.testing.assert_allclose(found.mean, pixels.mean(axis=1, dtype=np.float64), rtol=4e-16 * 8)
    np.testing.assert_allclose(found.std, pixels.std(axis=1, dtype=np.float64), rtol=4e-16 * 8)


def test_pixels_without_data_are_in_no_statistics(
    site: Path, tiff_writer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_WINDOW_PIXELS", 7 * 30)
    image = IMAGE + np.int16(500)
    image[:, :, 20:] = -9999
    tiff_writer(site / "image" / "Year2015.tif", image, nodata=-9999, **PLACE)
    found = statistics_of(Archive(site.parent), ["Austria_1"])
    pixels = np.concatenate([image[:, :, :20].reshape(10, -1), IMAGE.reshape(10, -1)], axis=1)
    assert found.pixels == 20 * 20 + 20 * 30
    np.testing.assert_allclose(found.mean, pixels.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.std, pixels.std(axis=1), rtol=1e-12)


def test_processes_that_share_out_the_sites_give_the_same_to_the_last_bit(small_archive: Path) -> None:
    archive = Archive(small_archive)
    parts = [BandSums.from_dict(json.loads(json.dumps(sums_of(s).to_dict()))) for s in archive.sites.values()]
    together = parts[2] + parts[0] + parts[1]
    assert together.statistics() == statistics_of(archive, ["Bulgaria_1", "Czechia_2", "Austria_1"])


def test_a_site_named_twice_is_counted_once(small_archive: Path) -> None:
    archive = Archive(small_archive)
    assert statistics_of(archive, ["Bulgaria_1"] * 2) == statistics_of(archive, ["Bulgaria_1"])


@given(images)
@settings(max_examples=100, deadline=None)
def test_mean_and_std_are_the_exact_ones_rounded(image: NDArray[np.int16]) -> None:
    found = counted(image).statistics()
    for band, mean, std in zip(image.reshape(3, -1).tolist(), found.mean, found.std, strict=True):
        exact = Fraction(sum(band), len(band))
        variance = sum((value - exact) ** 2 for value in band) / len(band)
        assert mean == float(exact)
        assert std == math.sqrt(float(variance))


@given(images, st.data())
@settings(max_examples=100, deadline=None)
def test_parts_in_any_division_and_order_add_up_to_the_whole(image: NDArray[np.int16], data: Any) -> None:
    row = data.draw(st.integers(0, image.shape[1]))
    upper, lower = image[:, :row], image[:, row:]
    whole = counted(image)
    assert counted(lower, upper) == whole
    assert counted(upper) + counted(lower) == whole


def test_a_stack_of_years_counts_like_its_years() -> None:
    stack = np.random.default_rng(0).integers(-32768, 32768, (4, 3, 50, 60), dtype=np.int16)
    assert counted(stack) == counted(*stack)
    assert counted(stack[..., 10:20, 5:]) == counted(*(image[:, 10:20, 5:] for image in stack))
    assert counted(stack).pixels == 4 * 50 * 60


def test_sums_do_not_overflow_where_int32_would() -> None:
    darkest = np.full((1, 300, 300), -32768, dtype=np.int16)
    sums = counted(*[darkest] * 3, bands=("a",))
    assert (sums.sums, sums.squares) == ([-32768 * 270_000], [32768**2 * 270_000])
    assert sums.statistics() == BandStatistics(("a",), (-32768.0,), (0.0,), 270_000)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((9, 4, 4), np.int16),
        np.zeros((4, 4), np.int16),
        np.zeros((10, 4, 4)),
        np.zeros((10, 4, 4), int),
    ],
)
def test_an_image_that_does_not_fit_is_refused(image: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=r"image: found .*; expected"):
        BandSums().add(image)


def test_sums_of_other_bands_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="expected the same bands"):
        BandSums(("a",)) + BandSums(("b",))


def test_no_pixel_or_an_unknown_site_is_refused(small_archive: Path) -> None:
    archive = Archive(small_archive)
    with pytest.raises(ValueError, match="band statistics: found no pixel; expected at least one site"):
        statistics_of(archive, [])
    with pytest.raises(ValueError, match=r"sites: found Kiruna_1, which .* lacks; expected"):
        statistics_of(archive, ["Austria_1", "Kiruna_1"])


def test_a_bad_file_is_named(tmp_path: Path, tiff_writer: Any) -> None:
    folder = tmp_path / "A_1"
    tiff_writer(folder / "image" / "Year2015.tif", np.zeros((3, 4, 4), np.int16))
    tiff_writer(folder / "label" / "Year2015.tif", np.zeros((1, 4, 4), np.uint8))
    with pytest.raises(ArchiveError, match=r"image/Year2015\.tif: found 3 bands"):
        statistics_of(Archive(tmp_path), ["A_1"])


def test_statistics_survive_json() -> None:
    for found in (*PRESETS.values(), BandStatistics(("a",), (0.1,), (1 / 3,), 7)):
        assert BandStatistics.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_incomplete_statistics_are_refused() -> None:
    with pytest.raises(ValueError, match="found no std"):
        BandStatistics.from_dict({"bands": ["a"], "mean": [1.0]})
    with pytest.raises(ValueError, match="2 bands, 1 means and 2"):
        BandStatistics(("a", "b"), (1.0,), (1.0, 2.0))


@pytest.mark.skipif(not FACTS.is_dir(), reason="the facts of the benchmark are not beside the project")
def test_presets_are_the_published_figures_and_the_corrected_ones() -> None:
    published = json.loads((FACTS / "normalization.json").read_text())
    assert list(PRESETS) == ["paper", "corrected"]
    assert list(PRESETS["paper"].mean) == published["mean"]
    assert list(PRESETS["corrected"].mean) == published["mean"]
    assert list(PRESETS["paper"].std) == published["std_published"]
    assert [round(std, 4) for std in PRESETS["corrected"].std] == published["std_corrected_x_sqrt2"]
    assert PRESETS["paper"].bands == PRESETS["corrected"].bands == BANDS


def test_the_published_fault_explains_the_factor_between_the_presets() -> None:
    pixels = np.random.default_rng(0).normal(1000, 300, 10_000)
    squares = ((pixels - pixels.mean()) ** 2).sum()
    as_published = math.sqrt(squares / (len(pixels) + len(pixels)))  # both passes counted the pixels
    for paper, corrected in zip(PRESETS["paper"].std, PRESETS["corrected"].std, strict=True):
        assert corrected / paper == pytest.approx(pixels.std() / as_published, rel=1e-12)
