"""Scenes: bands, year, nodata, windows and damaged files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from euromine.modeling import BANDS
from euromine.monitoring.scenes.band_names import parse_bands
from euromine.monitoring.scenes.scene import open_scene
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.errors import DataError, SceneError

from .scene_files import WriteScene, numbers, read


def fingerprint(path: Path) -> dict[str, Any]:
    with open_scene(path) as scene:
        return scene.fingerprint()


def test_bands_are_read_by_name_whatever_their_order(write_scene: WriteScene) -> None:
    order = np.random.default_rng(1).permutation(10)
    image = numbers()
    path = write_scene("scene.tif", image[order], names=tuple(BANDS[place] for place in order))
    values, _ = read(path, SceneOptions(offset=0))
    np.testing.assert_array_equal(values, image)
    values, _ = read(path, SceneOptions(offset=0), ("B8A", "B02"))
    np.testing.assert_array_equal(values, image[[7, 0]])


def test_an_option_names_bands_that_have_no_name_in_the_file(write_scene: WriteScene) -> None:
    image = numbers(count=4)
    path = write_scene("scene.tif", image, names=None)
    with pytest.raises(
        SceneError, match=r"found 4 bands without names; expected B04, B02\. Name the bands in"
    ):
        read(path, SceneOptions(offset=0), ("B04", "B02"))
    options = SceneOptions(bands=parse_bands("blue,-,B3,B4"), offset=0)
    values, _ = read(path, options, ("B04", "B02"))
    np.testing.assert_array_equal(values, image[[3, 0]])
    with pytest.raises(SceneError, match=r"found 4 bands but 3 names in --bands; expected one name per band"):
        read(path, SceneOptions(bands=parse_bands("blue,red,nir"), offset=0))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            BANDS[:7],
            r"found no band B8A, B11, B12 \(it has B02, .*\); expected B02, .*\. Name the bands with --bands",
        ),
        (("B02", None, "NDVI"), r"found no band B03, .* \(it has B02 and 2 others without a known name\)"),
        (("B02", "blue", "B03"), "found B02 more than once; expected each band once"),
    ],
)
def test_a_wrong_set_of_bands_is_refused(
    write_scene: WriteScene, names: tuple[str, ...], message: str
) -> None:
    path = write_scene("scene.tif", numbers(count=len(names)), names=names)
    with pytest.raises(SceneError, match=message):
        read(path, SceneOptions(offset=0))


def test_colours_name_bands_where_nothing_else_does(write_scene: WriteScene) -> None:
    image = numbers(count=3)
    path = write_scene("scene.tif", image, names=None, photometric="rgb")
    values, _ = read(path, SceneOptions(offset=0), ("B02", "B03", "B04"))
    np.testing.assert_array_equal(values, image[::-1])


def test_an_archive_image_of_another_number_of_bands_is_no_image_of_the_archive(
    write_scene: WriteScene,
) -> None:
    path = write_scene("Austria_1/image/Year2019.tif", numbers("int16", 9), names=None)
    with pytest.raises(SceneError, match="found 9 bands without names"):
        read(path)


@pytest.mark.parametrize(
    ("name", "year"),
    [
        ("S2B_MSIL2A_20190629T212529_N0212_R043_T06VVN_20201006T080531.tif", 2019),
        ("S2A2A_20170703_022_Barbellino_BOA_10.tif", 2017),
        ("S2L1C_2015-08-20.tif", 2015),
        ("Year2021.tif", 2021),
        ("kiruna_2018_median.tif", 2018),
        ("2018_2019.tif", None),
        ("tile_120181.tif", None),
        ("scene.tif", None),
    ],
)
def test_the_year_comes_from_the_name(write_scene: WriteScene, name: str, year: int | None) -> None:
    with open_scene(write_scene(name, numbers())) as scene:
        assert scene.year == year


@pytest.mark.parametrize(
    ("dtype", "nodata", "given", "marked"),
    [
        ("uint16", 0, None, 0),
        ("uint16", 65535, None, 65535),
        ("int16", -9999, None, -9999),
        ("uint16", None, 7777, 7777),
        ("uint16", 0, 7777, 7777),
        ("float32", None, None, np.nan),
        ("float32", np.nan, None, np.nan),
        ("float32", -9999, None, -9999),
        ("float32", None, None, np.inf),
    ],
)
def test_a_pixel_without_data_in_one_band_is_without_data(
    write_scene: WriteScene, dtype: str, nodata: float | None, given: float | None, marked: float
) -> None:
    image = numbers(dtype)
    image[3, 2, 4] = marked
    image[:, 0, 0] = marked
    path = write_scene("scene.tif", image, nodata=nodata)
    values, valid = read(path, SceneOptions(scale=0.0001, offset=0, nodata=given, override=True))
    assert np.argwhere(~valid).tolist() == [[0, 0], [2, 4]]
    assert np.isfinite(values).all()


def test_without_a_nodata_value_only_zero_in_all_bands_is_no_data(write_scene: WriteScene) -> None:
    image = numbers()
    image[:9, 1, 1] = 0
    image[:, 2, 4] = 0
    _, valid = read(write_scene("scene.tif", image), SceneOptions(offset=0))
    assert np.argwhere(~valid).tolist() == [[2, 4]]


def test_a_mask_in_the_file_counts(write_scene: WriteScene) -> None:
    path = write_scene("scene.tif", numbers())
    mask = np.full((6, 7), 255, np.uint8)
    mask[5, 6] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(mask)
    _, valid = read(path, SceneOptions(offset=0))
    assert np.argwhere(~valid).tolist() == [[5, 6]]


def test_a_mask_beside_the_file_counts(write_scene: WriteScene) -> None:
    path = write_scene("scene.tif", numbers())
    before = fingerprint(path)
    mask = np.full((6, 7), 255, np.uint8)
    mask[5, 6] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(mask)
    assert path.with_name("scene.tif.msk").is_file()
    _, valid = read(path, SceneOptions(offset=0))
    assert np.argwhere(~valid).tolist() == [[5, 6]]
    assert fingerprint(path) != before


def test_a_mask_of_another_size_is_refused(write_scene: WriteScene) -> None:
    path = write_scene("scene.tif", numbers())
    write_scene("other.tif", numbers()[:1, :4]).rename(path.with_name("scene.tif.msk"))
    with pytest.raises(SceneError, match="found a mask of 4 x 7 pixels; expected 6 x 7 like the scene"):
        read(path, SceneOptions(offset=0))


@pytest.mark.parametrize("name", [None, "B08"])
def test_an_alpha_band_counts_beside_any_number_of_bands_unless_it_has_a_name(
    write_scene: WriteScene, name: str | None
) -> None:
    image = np.concatenate([numbers(count=6), np.full((1, 6, 7), 65535, np.uint16)])
    image[6, 2, 3] = 0
    bands = ("B02", "B03", "B04", "B05", "B06", "B07")
    path = write_scene("scene.tif", image, names=(*bands, name))
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = (*[ColorInterp.undefined] * 6, ColorInterp.alpha)
    _, valid = read(path, SceneOptions(offset=0), bands)
    assert np.argwhere(~valid).tolist() == ([[2, 3]] if name is None else [])


def test_nodata_in_the_metadata_beside_the_file_counts(
    write_scene: WriteScene, caplog: pytest.LogCaptureFixture
) -> None:
    image = numbers()
    image[3, 2, 4] = 9500
    path = write_scene("scene.tif", image)
    band = "<PAMRasterBand><NoDataValue>9.5E+03</NoDataValue>{}</PAMRasterBand>"
    beside = path.with_name("scene.tif.aux.xml")
    beside.write_text(f"<PAMDataset>{band.format('')}</PAMDataset>")
    _, valid = read(path, SceneOptions(offset=0))
    assert np.argwhere(~valid).tolist() == [[2, 4]]
    assert not caplog.records
    beside.write_text(f"<PAMDataset>{band.format('<Offset>-0.1</Offset>')}</PAMDataset>")
    read(path, SceneOptions(offset=0))
    assert "scene.tif.aux.xml: Offset in it is not read" in caplog.text
    beside.write_text("<NoDataValue>1</NoDataValue><NoDataValue>2</NoDataValue>")
    with pytest.raises(DataError, match="found several nodata values"):
        read(path, SceneOptions(offset=0))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_zeros_outside_the_swath_are_no_data_in_every_type(write_scene: WriteScene, dtype: str) -> None:
    image = numbers(dtype)
    image[:, :, :3] = 0
    _, valid = read(write_scene("scene.tif", image), SceneOptions(scale=0.0001, offset=0))
    np.testing.assert_array_equal(valid, np.tile(np.arange(7) >= 3, (6, 1)))


@pytest.mark.parametrize("impossible", [-9999, 3.4e38, -1e30, 150_000])
def test_numbers_that_are_no_reflectance_are_no_data(write_scene: WriteScene, impossible: float) -> None:
    image = numbers("float32")
    image[4, 1, 2] = impossible
    with open_scene(write_scene("scene.tif", image), SceneOptions(scale=0.0001, offset=0)) as scene:
        values, valid = scene.read(Window(0, 0, 7, 6), BANDS)
        doubt = scene.doubt()
    assert np.argwhere(~valid).tolist() == [[1, 2]]
    assert np.isfinite(values).all()
    assert doubt is not None
    assert "reflectances below -0.5 or above 10 are taken for pixels without data" in doubt


def test_a_window_is_a_part_of_the_scene(write_scene: WriteScene) -> None:
    image = numbers()
    with open_scene(write_scene("scene.tif", image), SceneOptions(offset=0)) as scene:
        values, valid = scene.read(Window(2, 1, 4, 3), BANDS)
        np.testing.assert_array_equal(values, image[:, 1:4, 2:6])
        assert valid.shape == (3, 4)
        for window in (Window(-1, 0, 2, 2), Window(0, 0, 8, 1), Window(0, 6, 1, 1), Window(0, 0, 0, 1)):
            with pytest.raises(
                ValueError, match=r"window: found rows .*; expected a window that is not empty"
            ):
                scene.read(window, BANDS)


def test_files_that_are_not_scenes_are_refused_in_a_sentence(write_scene: WriteScene, tmp_path: Path) -> None:
    whole = write_scene("whole.tif", numbers())
    (tmp_path / "short.tif").write_bytes(whole.read_bytes()[:300])
    (tmp_path / "text.tif").write_text("no raster")
    (tmp_path / "empty.tif").touch()
    (tmp_path / "vrt.tif").write_text(
        '<VRTDataset rasterXSize="7" rasterYSize="6"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        f"<SourceFilename>{whole}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    write_scene("nowhere.tif", numbers(), crs=None)
    write_scene("unplaced.tif", numbers(), transform=rasterio.Affine.identity())
    write_scene("complex.tif", numbers().astype("complex64"))
    messages = {
        "short": "found a file that is damaged or not a GeoTIFF; expected a GeoTIFF",
        "text": "found a file that is damaged or not a GeoTIFF; expected a GeoTIFF",
        "empty": "found a file that is damaged or not a GeoTIFF; expected a GeoTIFF",
        "vrt": "found '/.*whole.tif' in it; expected rasters in the VRT's own folder, by relative paths",
        "missing": r"found no readable file \(No such file or directory\); expected a GeoTIFF",
        "nowhere": "found no coordinate reference system; expected one",
        "unplaced": "found no usable geotransform .*; expected one",
        "complex": "found complex64; expected integers or floats",
    }
    for name, message in messages.items():
        with pytest.raises(SceneError, match=rf"{name}\.tif: {message}"):
            open_scene(tmp_path / f"{name}.tif")
    with pytest.raises(SceneError, match="found a folder that is no scene; expected a Sentinel-2 product"):
        open_scene(tmp_path)


def test_a_file_cut_short_in_its_pixels_is_refused_when_they_are_read(
    write_scene: WriteScene, digital_numbers: Callable[[int, int], NDArray[np.uint16]]
) -> None:
    path = write_scene("scene.tif", digital_numbers(200, 300), compress="deflate")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(
        SceneError, match=r"found truncated or damaged data at rows|found a file that is damaged"
    ):
        read(path, SceneOptions(offset=0))


def test_a_file_of_another_state_has_another_fingerprint(write_scene: WriteScene) -> None:
    def fingerprint(path: Path) -> dict[str, Any]:
        with open_scene(path) as scene:
            return scene.fingerprint()

    path = write_scene("scene.tif", numbers())
    first = fingerprint(path)
    assert fingerprint(path) == first
    path.with_suffix(".json").write_text("{}")
    second = fingerprint(path)
    write_scene("scene.tif", numbers()[::-1])
    assert len({json.dumps(each) for each in (first, second, fingerprint(path))}) == 3


def test_band_names_and_nodata_that_contradict_the_file_are_refused(write_scene: WriteScene) -> None:
    path = write_scene("scene.tif", numbers()[::-1], names=BANDS[::-1], nodata=0)
    with pytest.raises(
        SceneError, match=r"found the bands B12, B11, .* in its metadata, against --bands B02"
    ):
        read(path, SceneOptions(bands=BANDS, offset=0))
    with pytest.raises(SceneError, match="found nodata 0 in its metadata, against --nodata 7"):
        read(path, SceneOptions(offset=0, nodata=7))
    values, _ = read(path, SceneOptions(bands=BANDS, offset=0, override=True))
    np.testing.assert_array_equal(values, numbers()[::-1])
    # Names that agree, and dashes for bands to ignore, contradict nothing.
    values, _ = read(path, SceneOptions(bands=("-", *BANDS[-2::-1]), offset=0, nodata=0), BANDS[:9])
    np.testing.assert_array_equal(values, numbers()[:9])


@pytest.mark.parametrize(("side", "told"), [(10, None), (20, None), (30, "30 m wide"), (1, "1 m wide")])
def test_pixels_far_from_ten_metres_are_warned_of(
    write_scene: WriteScene, side: float, told: str | None
) -> None:
    place = rasterio.Affine(side, 0, 5e5, 0, -side, 5e6)
    with open_scene(write_scene("scene.tif", numbers(), transform=place), SceneOptions(offset=0)) as scene:
        doubt = scene.doubt()
    assert (doubt is None) if told is None else (told in (doubt or ""))
