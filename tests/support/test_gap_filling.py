"""Pixels without data take those of the nearest place, or of the nearest year with data."""

import numpy as np

from euromine.support.gap_filling import fill_gaps


def series(years: int = 3) -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(0).integers(1, 9000, (years, 4, 6, 7)).astype(np.int16)
    return images, np.zeros((years, 6, 7), np.uint8)


def test_images_with_data_everywhere_are_returned_as_they_are():
    images, labels = series()
    assert fill_gaps(images, labels) is images
    labels[1, 2:4] = 255  # ground that the annotators left out
    assert fill_gaps(images, labels) is images
    images[0, :, 0, 0] = 0  # dark ground with a label
    assert fill_gaps(images, labels) is images


def test_pixels_without_data_take_the_nearest_pixel_of_their_image():
    images, labels = series()
    images[1, :, :, :3], labels[1, :, :3] = 0, 255
    before = images.copy()
    filled = fill_gaps(images, labels)
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(filled[[0, 2]], before[[0, 2]])
    np.testing.assert_array_equal(filled[1, :, :, 3:], before[1, :, :, 3:])
    for column in range(3):
        np.testing.assert_array_equal(filled[1, :, :, column], before[1, :, :, 3])


def test_an_image_without_data_takes_the_nearest_year_that_has_some():
    images, labels = series(5)
    images[1:3], labels[1:3] = 0, 255
    filled = fill_gaps(images, labels)
    np.testing.assert_array_equal(filled[1], images[0])
    np.testing.assert_array_equal(filled[2], images[3])
    assert not fill_gaps(images[1:3], labels[1:3]).any()


def test_a_change_map_names_the_gaps_of_both_dates():
    images, labels = series(2)
    images[0, :, 0], images[1, :, 5] = 0, 0
    change = labels[0].copy()
    change[[0, 5]] = 255
    filled = fill_gaps(images, change)
    np.testing.assert_array_equal(filled[0, :, 0], images[0, :, 1])
    np.testing.assert_array_equal(filled[1, :, 5], images[1, :, 4])
