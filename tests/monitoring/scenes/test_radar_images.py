"""The radar image beside a scene."""

import numpy as np
import pytest
from rasterio.transform import Affine
from rasterio.windows import Window

from euromine.monitoring.scenes.alignment import AlignedScene
from euromine.monitoring.scenes.radar_images import allow_missing_radar
from euromine.monitoring.scenes.scene import open_scene
from euromine.support.errors import SceneError

NAMES = ("VV", "VH")
PLAIN = {"PROCESSING_BASELINE": "03.01"}
BANDS = ("VH", "B04", "VV")


@pytest.fixture
def radar():
    """Backscatter (2, 30, 40) in dB x 100, with pixels without data."""
    values = np.random.default_rng(1).integers(-2500, -500, (2, 30, 40)).astype(np.int16)
    values[:, 4, 5] = -32768
    return values


@pytest.fixture
def optical():
    return np.random.default_rng(2).integers(1, 4000, (2, 30, 40)).astype(np.uint16)


@pytest.mark.parametrize("folder", ["site/image", "site"])
def test_backscatter_comes_from_the_folder_beside(write_scene, optical, radar, folder) -> None:
    scene = write_scene(f"{folder}/Year2021.tif", optical, names=("B03", "B04"), tags=PLAIN)
    write_scene("site/radar/Year2021.tif", radar, names=NAMES, scales=(0.01, 0), nodata=-32768)
    with open_scene(scene) as opened:
        before = opened.fingerprint()
        image, valid = opened.read(Window(3, 2, 20, 25), BANDS)
        assert str(opened.reflectance(BANDS)).endswith("radar: radar/Year2021.tif)")
        assert opened.fingerprint() != before  # a new radar image makes new maps
        assert opened.bands == ("B03", "B04")
    np.testing.assert_array_equal(image[1], optical[1, 2:27, 3:23])
    np.testing.assert_allclose(image[[2, 0]], radar[:, 2:27, 3:23], rtol=1e-6)
    assert valid.all()


def test_decibels_in_floats_and_unnamed_bands_are_understood(write_scene, optical, radar) -> None:
    scene = write_scene("site/image/a.tif", optical, names=("B03", "B04"), tags=PLAIN)
    decibels = np.where(radar == -32768, np.nan, radar / 100).astype(np.float32)
    write_scene("site/radar/a.tif", decibels, names=None)
    with open_scene(scene) as opened:
        image, _ = opened.read(Window(0, 0, 40, 30), BANDS)
    np.testing.assert_allclose(image[[2, 0]], radar, rtol=1e-4)


@pytest.mark.parametrize("number", [np.int16, np.float32])
def test_zeros_of_a_file_without_nodata_are_no_backscatter(write_scene, optical, radar, number) -> None:
    scene = write_scene("site/image/a.tif", optical, names=("B03", "B04"), tags=PLAIN)
    known = np.where(radar == -32768, -1000, radar)
    filled = np.where(np.arange(40) < 30, known, 0)  # 0 beyond the swath, as GEE exports masked pixels
    write_scene(
        "site/radar/a.tif", (filled / (100 if number is np.float32 else 1)).astype(number), names=NAMES
    )
    with open_scene(scene) as opened:
        image, _ = opened.read(Window(0, 0, 40, 30), BANDS)
    np.testing.assert_allclose(image[[2, 0]], np.where(filled == 0, -32768, known), rtol=1e-4)


def test_radar_on_other_pixels_is_resampled_to_the_scene(write_scene, optical) -> None:
    scene = write_scene("site/image/a.tif", optical, names=("B03", "B04"), tags=PLAIN)
    wide = Affine(20, 0, 299_900, 0, -20, 5_000_100)
    columns = np.arange(40) * 20 + 10 - 100  # metres east of the scene's corner
    slope = np.broadcast_to(-3000 + columns, (2, 40, 40)).astype(np.float32) / 100
    write_scene("site/radar/a.tif", slope, names=NAMES, transform=wide)
    with open_scene(scene) as opened:
        image, _ = opened.read(Window(0, 0, 40, 30), ("VV",))
    np.testing.assert_allclose(image[0, 0], -3000 + np.arange(40) * 10 + 5, atol=0.5)


def test_a_scene_brought_to_another_grid_keeps_unknown_backscatter_apart(write_scene, optical, radar, grid):
    scene = write_scene("site/image/a.tif", optical, names=("B03", "B04"), tags=PLAIN)
    write_scene("site/radar/a.tif", radar, names=NAMES, nodata=-32768)
    shifted = grid(25, 35).window(Window(0.5, 0.5, 35, 25))
    with open_scene(scene) as opened:
        image, _ = AlignedScene(opened, shifted).read(Window(0, 0, 35, 25), ("VV", "B04"))
    assert (image[0, 3:5, 4:6] == -32768).all()
    known = image[0][image[0] != -32768]
    assert known.size == 35 * 25 - 4
    assert known.min() >= -2501


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            lambda radar: None,
            "found no radar image beside it; expected one with VH, VV, which the model reads",
        ),
        (lambda radar: radar[:1], "found the bands VV; expected VH as well"),
        (
            lambda radar: np.full((2, 30, 40), 0.08, np.float32),
            "not below 0 dB; expected .* and not linear power",
        ),
        # Linear power that was cast to integers.
        (np.zeros_like, "found a median of 0 in VV, not below 0 dB"),
        (lambda radar: np.full_like(radar, -32768), "found no backscatter in VV on the ground of"),
    ],
)
def test_radar_that_cannot_be_used_is_refused(write_scene, optical, radar, change, found) -> None:
    scene = write_scene("site/image/a.tif", optical, names=("B03", "B04"), tags=PLAIN)
    values = change(radar)
    if values is not None:
        write_scene("site/radar/a.tif", values, names=NAMES[: len(values)], nodata=-32768)
    with open_scene(scene) as opened, pytest.raises(SceneError, match=found):
        opened.reflectance(BANDS)


def test_a_year_may_lack_radar_where_another_has_it(write_scene, optical, radar, caplog) -> None:
    paths = [
        write_scene(f"site/image/Year{year}.tif", optical, names=("B03", "B04"), tags=PLAIN)
        for year in (2020, 2021)
    ]
    write_scene("site/radar/Year2021.tif", radar, names=NAMES, nodata=-32768)
    with open_scene(paths[0]) as lacking, open_scene(paths[1]) as whole:
        allow_missing_radar({2020: lacking.radar})  # alone, it stays an error
        with pytest.raises(SceneError, match="found no radar image"):
            lacking.reflectance(BANDS)
        allow_missing_radar({2020: lacking.radar, 2021: whole.radar})
        image, valid = lacking.read(Window(0, 0, 40, 30), BANDS)
    assert (image[[0, 2]] == -32768).all()
    assert valid.all()
    assert "There is no radar image of 2020." in caplog.text
