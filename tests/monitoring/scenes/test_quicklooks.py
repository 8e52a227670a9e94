"""Small pictures of scenes."""

from itertools import product

import numpy as np
import pytest
from PIL import Image
from rasterio.windows import Window

from euromine.modeling import EuroMineImageProcessor
from euromine.monitoring.pipeline import ArrayScene
from euromine.monitoring.scenes.quicklooks import PicturedScene, Quicklook, write_quicklook


def test_pictures_show_the_same_ground_alike_whatever_the_processing(tmp_path):
    image = np.random.default_rng(2016).normal(1500, 400, (10, 70, 90)).astype(np.float32)
    pictures = []
    for name, values in (("plain", image), ("other", 1.3 * image + 400)):
        write_quicklook(
            Quicklook.of(ArrayScene(values, EuroMineImageProcessor().bands), ("B04", "B03", "B02")),
            tmp_path / f"{name}.png",
        )
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert (picture.size, picture.mode) == ((90, 70), "RGB")
            pictures.append(np.asarray(picture).astype(int))
    assert abs(pictures[0] - pictures[1]).max() <= 1
    assert pictures[0].min() == 0
    assert pictures[0].max() == 255


def test_pictures_of_large_scenes_are_means_of_what_is_known():
    image = np.random.default_rng(0).random((1, 700, 2500)).astype(np.float32)
    image[:, 300:310, 600:606] = np.nan
    look = Quicklook.of(ArrayScene(image, ["B04"]), ("B04",)).values[..., 0]
    assert look.shape == (234, 834)  # every third pixel
    for row, column in ((0, 0), (99, 199), (100, 200), (101, 201), (233, 833)):
        block = image[0, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
        known = block[~np.isnan(block)]
        if known.size:
            assert look[row, column] == pytest.approx(known.mean(), abs=1e-5)
        else:
            assert np.isnan(look[row, column])


def read_windows(scene, bands, side, stride):
    height, width = scene.grid.shape
    for top, left in product(range(0, height, stride), range(0, width, stride)):
        scene.read(Window(left, top, min(side, width - left), min(side, height - top)), bands)


def test_a_picture_drawn_while_windows_are_read_is_that_of_the_whole_scene():
    image = np.random.default_rng(1).integers(0, 10_000, (4, 190, 2500)).astype(np.float32)
    image[:, 100:120, 60:90] = np.nan
    image[3, 20:40, 800:900] = np.nan  # a band that the picture does not show
    plain = ArrayScene(image, ["B02", "B03", "B04", "B08"])
    scene = PicturedScene(plain, ("B04", "B03", "B02"))
    read_windows(scene, ("B08", "B04", "B03", "B02"), 64, 50)
    look = scene.quicklook()
    assert look is not None
    np.testing.assert_array_equal(look.values, Quicklook.of(plain, ("B04", "B03", "B02")).values)


def test_windows_that_tear_blocks_of_pixels_apart_make_no_picture():
    scene = PicturedScene(ArrayScene(np.ones((1, 190, 2500), np.float32), ["B04"]), ("B04",))
    read_windows(scene, ("B04",), 64, 64)  # each pixel of the picture shows three by three
    assert scene.quicklook() is None
