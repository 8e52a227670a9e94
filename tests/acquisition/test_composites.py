"""Composites against NumPy's and SciPy's own functions, and on ground whose truth is known."""

import warnings

import numpy as np
import pytest
import rasterio
from scipy.ndimage import binary_dilation

from euromine.acquisition import composites
from euromine.acquisition.composites import (
    classes_without_scl,
    fill_from_clearest,
    mean_power,
    median_composite,
    offset_contradiction,
    unclear_mask,
    usable_mask,
    with_offset,
)
from euromine.dataset_script.archive_bands import NO_BACKSCATTER


@pytest.mark.parametrize("scenes", range(1, 14))
def test_the_median_is_numpys_of_the_usable_scenes_rounded_half_to_even(scenes):
    generator = np.random.default_rng(scenes)
    numbers = generator.integers(1, 40, (scenes, 24, 31)).astype(np.uint16)
    usable = generator.random(numbers.shape) < 0.6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pixels without any usable scene
        median = np.nanmedian(np.where(usable, numbers, np.nan), axis=0)
    expected = np.nan_to_num(np.rint(median)).astype(np.int16)
    np.testing.assert_array_equal(median_composite(list(numbers), usable, fill=False), expected)


def test_windows_of_a_composite_join_without_a_seam(monkeypatch):
    numbers = np.random.default_rng(0).integers(1, 4000, (5, 50, 70)).astype(np.uint16)
    usable = numbers % 3 > 0
    whole = median_composite(list(numbers), usable)
    monkeypatch.setattr(composites, "_WINDOW", 16)
    np.testing.assert_array_equal(median_composite(list(numbers), usable), whole)


def test_unclear_classes_grow_by_one_pixel_in_all_directions():
    classes = np.random.default_rng(0).choice(12, (40, 50)).astype(np.uint8)
    classes[10:30, 10:40] = 4
    expected = binary_dilation(np.isin(classes, (0, 1, 3, 8, 9, 10, 11)), np.ones((3, 3)))
    np.testing.assert_array_equal(unclear_mask(classes), expected)


def test_an_offset_keeps_no_data_and_gives_at_least_1():
    numbers = np.array([0, 1, 999, 1000, 1001, 1002, 40_000], np.uint16)
    assert with_offset(numbers, -1000).tolist() == [0, 1, 1, 1, 1, 2, 32_767]
    assert with_offset(numbers, 0).tolist() == [0, 1, 999, 1000, 1001, 1002, 32_767]


def stack(scenes=9, least=2950, most=3050):
    """Blue of bright ground in the middle of darker ground, classified as cloud on all dates but one."""
    blue = np.random.default_rng(1).normal(600, 20, (scenes, 20, 20))
    blue[:, 8:12, 8:12] = np.linspace(least, most, scenes)[:, None, None]
    unclear = np.zeros(blue.shape, bool)
    unclear[1:, 8:12, 8:12] = True
    return np.rint(blue).astype(np.uint16), unclear


def test_bright_ground_that_is_called_cloud_on_most_dates_counts_on_all():
    blue, unclear = stack()
    usable = usable_mask(blue, unclear)
    assert usable.all()


def test_clouds_over_bright_ground_and_changing_ground_stay_out():
    blue, unclear = stack(least=1500, most=4500)  # clouds differ from date to date
    np.testing.assert_array_equal(usable_mask(blue, unclear), ~unclear)
    blue, unclear = stack(scenes=3)  # too few dates to tell
    np.testing.assert_array_equal(usable_mask(blue, unclear), ~unclear)
    blue, unclear = stack()
    unclear[1:5] = False  # flagged on half of the dates
    np.testing.assert_array_equal(usable_mask(blue, unclear), ~unclear)


def test_pixels_that_no_scene_shows_clearly_come_from_the_clearest_with_data():
    blue = np.array([[[0, 50, 7]], [[60, 70, 8]], [[80, 90, 9]]], np.uint16)
    usable = np.array([[[False, False, False]], [[False, False, True]], [[False, False, True]]])
    filled = fill_from_clearest(usable, blue)
    assert filled.tolist() == [[True, True, False]]
    assert median_composite(list(blue), usable).tolist() == [[60, 50, 8]]  # (8 + 9) / 2, half to even


def test_a_band_without_data_in_the_usable_scenes_is_filled_only_on_demand():
    numbers = [np.array([[0]], np.uint16), np.array([[33]], np.uint16)]
    usable = np.array([[[True]], [[False]]])
    assert median_composite(numbers, usable, fill=True).tolist() == [[33]]
    assert median_composite(numbers, usable, fill=False).tolist() == [[0]]


def test_offsets_that_real_pixels_contradict_are_found(real_data):
    """One of five chips still has 1000 in its numbers; another shows snow alone, which proves nothing."""
    doubted: dict[int, set[str]] = {0: set(), -1000: set()}
    for path in sorted((real_data / "real" / "terramind_examples" / "S2L2A").glob("*.tif")):
        with rasterio.open(path) as dataset:
            blue, red, near = (dataset.read(place).astype(int) for place in (2, 4, 8))
        vegetation = near - red > 800
        classes = np.where(blue > 1500, 11, np.where(vegetation, 4, 5)).astype(np.uint8)
        for offset, names in doubted.items():
            if offset_contradiction(blue, classes, offset) is not None:
                names.add(path.stem)
    assert doubted[0] == {"433D_629L_3_1"}
    assert doubted[-1000] == {"282D_485L_3_3", "38D_378R_2_3", "637U_59R_1_3"}


def test_an_offset_is_not_doubted_where_nothing_is_known_to_be_dark():
    bright = np.full((50, 50), 3000, np.uint16)
    assert offset_contradiction(bright, np.full((50, 50), 5, np.uint8), 0) is None
    assert offset_contradiction(bright, np.full((50, 50), 4, np.uint8), 0) is not None


def test_clouds_of_scenes_without_a_classification_are_bright_and_not_brown():
    green = np.array([[0, 800, 2500, 2500, 5000]], np.uint16)
    red = np.array([[0, 700, 2000, 3000, 5200]], np.uint16)
    assert classes_without_scl(green, red).tolist() == [[0, 5, 9, 5, 9]]


def test_backscatter_is_averaged_as_power():
    first = np.array([[0.1, 0.1, np.nan, 0, np.nan]], np.float32)
    second = np.array([[0.3, np.nan, 0.02, -1, np.inf]], np.float32)
    expected = np.rint([1000 * np.log10(0.2), -1000, 1000 * np.log10(0.02)]).tolist()
    assert mean_power([first, second]).tolist() == [[*expected, NO_BACKSCATTER, NO_BACKSCATTER]]
