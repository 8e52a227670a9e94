"""What a scene says of its bands, its numbers and its gaps, and what a person has to say."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from euromine.modeling import BANDS
from euromine.monitoring.scenes.scene import SceneOptions, canonical_band, open_scene, parse_bands
from euromine.support.errors import SceneError

WriteScene = Callable[..., Path]
NOTHING_SAID = "does not say whether processing baseline 04.00 or later added 1000"


def numbers(dtype: str = "uint16", count: int = 10) -> NDArray[Any]:
    return np.random.default_rng(0).integers(1, 9000, (count, 6, 7)).astype(dtype)


def read(path: Path, options: SceneOptions | None = None, bands: tuple[str, ...] = BANDS) -> Any:
    with open_scene(path, options) as scene:
        return scene.read(Window(0, 0, scene.grid.width, scene.grid.height), bands)


@pytest.mark.parametrize(
    ("text", "band"),
    [
        ("B02", "B02"),
        ("b2", "B02"),
        ("B8A", "B8A"),
        ("B08A", "B8A"),
        ("B12", "B12"),
        ("blue", "B02"),
        ("Blue (band 2)", "B02"),
        ("NIR 2 (band 8A)", "B8A"),
        ("nir08", "B8A"),
        ("nir", "B08"),
        ("rededge3", "B07"),
        ("swir16", "B11"),
        ("SWIR 2", "B12"),
        ("B4, central wavelength 665 nm", "B04"),
        ("S2_B05", "B05"),
        ("B02_10m", "B02"),
        ("VV", "VV"),
        ("band_3", "band_3"),
        # What any file's second band is called, Landsat's fifth, indices, classes:
        ("Band 2", None),
        ("SR_B5", None),
        ("B13", None),
        ("NDVI", None),
        ("B4/B8", None),
        ("", None),
        (None, None),
    ],
)
def test_bands_are_known_by_the_names_that_others_give_them(text: str | None, band: str | None) -> None:
    assert canonical_band(text) == band


def test_every_asset_of_earth_search_is_the_band_that_its_file_is_named_after(real_data: Path) -> None:
    items = sorted((real_data / "real" / "stac_items").glob("earthsearch_v1_S2*.json"))
    assert len(items) >= 15
    for path in items:
        assets = json.loads(path.read_text())["assets"]
        for key, asset in assets.items():
            file = Path(asset["href"]).stem
            if file.startswith("B"):
                assert canonical_band(key.removesuffix("-jp2")) == file
                if described := asset.get("eo:bands"):
                    for name in ("name", "description"):
                        assert [canonical_band(band[name]) for band in described] == [file]


def test_bands_are_read_by_name_whatever_their_order(write_scene: WriteScene) -> None:
    order = np.random.default_rng(1).permutation(10)
    image = numbers()
    path = write_scene("scene.tif", image[order], names=tuple(BANDS[place] for place in order))
    values, _ = read(path, SceneOptions(offset=0))
    np.testing.assert_array_equal(values, image)
    values, _ = read(path, SceneOptions(offset=0), ("B8A", "B02"))
    np.testing.assert_array_equal(values, image[[7, 0]])


def test_an_option_names_bands_that_the_file_does_not(write_scene: WriteScene) -> None:
    image = numbers(count=4)
    path = write_scene("scene.tif", image, names=None)
    with pytest.raises(SceneError, match=r"has 4 bands without names; expected B04, B02: name them in their"):
        read(path, SceneOptions(offset=0), ("B04", "B02"))
    options = SceneOptions(bands=parse_bands("blue,-,B3,B4"), offset=0)
    values, _ = read(path, options, ("B04", "B02"))
    np.testing.assert_array_equal(values, image[[3, 0]])
    with pytest.raises(SceneError, match=r"has 4 bands, --bands names 3; expected one name for each"):
        read(path, SceneOptions(bands=parse_bands("blue,red,nir"), offset=0))
    with pytest.raises(ValueError, match="unknown band 'bleu'"):
        parse_bands("bleu,red")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (BANDS[:7], "has the bands B02, .*, but not B8A, B11, B12; expected B02"),
        (("B02", None, "NDVI"), "has the bands B02 and 2 others without a known name, but not B03"),
        (("B02", "blue", "B03"), "names B02 more than once; expected each band once"),
    ],
)
def test_a_wrong_set_of_bands_is_told(write_scene: WriteScene, names: tuple[str, ...], message: str) -> None:
    path = write_scene("scene.tif", numbers(count=len(names)), names=names)
    with pytest.raises(SceneError, match=message):
        read(path, SceneOptions(offset=0))


def test_colours_name_bands_where_nothing_else_does(write_scene: WriteScene) -> None:
    image = numbers(count=3)
    path = write_scene("scene.tif", image, names=None, photometric="rgb")
    values, _ = read(path, SceneOptions(offset=0), ("B02", "B03", "B04"))
    np.testing.assert_array_equal(values, image[::-1])


def test_whole_numbers_of_unknown_offset_are_refused(write_scene: WriteScene) -> None:
    path = write_scene("scene.tif", numbers())
    with pytest.raises(SceneError, match=NOTHING_SAID + ".*--offset -1000 if so, --offset 0 if not"):
        read(path)


def test_floats_of_unknown_scale_are_refused(write_scene: WriteScene) -> None:
    path = write_scene("scene.tif", (numbers() / 10_000).astype("float32"))
    with pytest.raises(SceneError, match="holds float32 and does not say of what scale; expected --scale 1"):
        read(path)
    values, _ = read(path, SceneOptions(scale=1))
    np.testing.assert_allclose(values, numbers(), rtol=1e-6)


def test_a_picture_of_eight_bits_is_refused(write_scene: WriteScene) -> None:
    path = write_scene("scene.tif", np.ones((3, 5, 5), np.uint8), names=("red", "green", "blue"))
    with pytest.raises(SceneError, match="holds uint8 and does not say of what scale"):
        read(path, bands=("B04",))


@pytest.mark.parametrize(
    ("what", "options", "dtype", "scale", "offset"),
    [
        ({}, SceneOptions(offset=0), "uint16", 1, 0),
        ({}, SceneOptions(offset=-1000), "int16", 1, -1000),
        ({}, SceneOptions(scale=0.0001, offset=-1000), "float32", 1, -1000),
        ({}, SceneOptions(scale=1), "float64", 10_000, 0),
        ({}, SceneOptions(scale=0.0000275, offset=-7273), "uint16", 0.275, -7273 * 0.275),
        # GDAL's own: reflectance = number * scale + offset
        ({"scales": (0.0001, -0.1)}, None, "uint16", 1, -1000),
        ({"scales": (0.0001, 0)}, None, "uint16", 1, 0),
        ({"scales": (0.00005, -0.05)}, None, "uint16", 0.5, -500),
        ({"scales": (1, -1000)}, None, "uint16", 1, -1000),
        ({"scales": (0.0001, -0.1)}, SceneOptions(offset=0), "uint16", 1, 0),
        ({"tags": {"PROCESSING_BASELINE": "05.11"}}, None, "uint16", 1, -1000),
        ({"tags": {"PROCESSING_BASELINE": "04.00"}}, None, "uint16", 1, -1000),
        ({"tags": {"PROCESSING_BASELINE": "03.01"}}, None, "uint16", 1, 0),
        (
            {"tags": {"PROCESSING_BASELINE": "04.00", "QUANTIFICATION_VALUE": "5000"}},
            None,
            "uint16",
            2,
            -2000,
        ),
        (
            {"name": "S2B_MSIL2A_20220226T095029_N0400_R079_T33TWN_20220226T130213.tif"},
            None,
            "uint16",
            1,
            -1000,
        ),
        ({"name": "S2A_MSIL2A_20210629T100031_N0300_R122_T33TWN_20210629T122056.tif"}, None, "uint16", 1, 0),
        (
            {"name": "S2B_MSIL1C_20220226T095029_N0510_R079_T33TWN_20220226T130213.SAFE/stack.tif"},
            None,
            "uint16",
            1,
            -1000,
        ),
        ({"name": "Austria_1/image/Year2019.tif"}, None, "int16", 1, 0),
        ({"name": "Austria_1/image/Year2019.tif", "names": None}, None, "int16", 1, 0),
    ],
)
def test_numbers_become_digital_numbers_as_metadata_or_options_say(
    write_scene: WriteScene,
    what: dict[str, Any],
    options: SceneOptions | None,
    dtype: str,
    scale: float,
    offset: float,
) -> None:
    image = numbers(dtype)
    path = write_scene(**{"name": "scene.tif", **what, "bands": image})
    values, valid = read(path, options)
    np.testing.assert_allclose(values, image.astype(np.float64) * scale + offset, rtol=1e-6, atol=1e-3)
    assert values.dtype == np.float32
    assert valid.all()


def test_an_archive_image_of_another_number_of_bands_is_no_image_of_the_archive(
    write_scene: WriteScene,
) -> None:
    path = write_scene("Austria_1/image/Year2019.tif", numbers("int16", 9), names=None)
    with pytest.raises(SceneError, match="has 9 bands without names"):
        read(path)


def test_real_stac_items_tell_the_offset_as_their_baseline_and_what_was_applied(
    real_data: Path, write_scene: WriteScene
) -> None:
    """Subtract 1000 only where the baseline is 04.00 or later and the offset was not applied already."""
    subtracted = {}
    for path in sorted((real_data / "real" / "stac_items").glob("*.json")):
        item = json.loads(path.read_text())
        if not (isinstance(item, dict) and item.get("type") == "Feature"):
            continue
        properties = item["properties"]
        is_later = float(properties["s2:processing_baseline"]) >= 4
        expected = -1000 if is_later and not properties.get("earthsearch:boa_offset_applied") else 0
        scene = write_scene(f"{path.stem}.tif", numbers(), item=item)
        with open_scene(scene) as opened:
            reflectance = opened.reflectance(BANDS)
            assert opened.year == int(properties["datetime"][:4])
            assert "STAC item" in reflectance.source
        assert set(reflectance.offset) == {expected}, path.name
        assert set(reflectance.scale) == {0.0001}
        subtracted[path.stem] = expected
    assert len(subtracted) >= 16
    assert sorted(set(subtracted.values())) == [-1000, 0]


def test_a_stac_item_names_the_bands_of_its_file(write_scene: WriteScene) -> None:
    image = numbers(count=2)
    asset = {"href": "https://somewhere/scene.tif", "eo:bands": [{"name": "red"}, {"name": "nir"}]}
    properties = {"s2:processing_baseline": "03.01", "datetime": "2019-07-07T09:57:41Z"}
    item = {"type": "Feature", "properties": properties, "assets": {"data": asset}}
    path = write_scene("scene.tif", image, names=None, item=item)
    values, _ = read(path, bands=("B08", "B04"))
    np.testing.assert_array_equal(values, image[::-1])


@pytest.mark.parametrize(("baseline", "offset"), [("05.00", 0.0), ("02.10", -0.1)])
def test_a_stac_item_that_contradicts_itself_is_refused(
    write_scene: WriteScene, baseline: str, offset: float
) -> None:
    band = {"raster:bands": [{"scale": 0.0001, "offset": offset}], "href": "B02.tif"}
    properties = {"s2:processing_baseline": baseline}
    path = write_scene(
        "scene.tif", numbers(), item={"type": "Feature", "properties": properties, "assets": {"blue": band}}
    )
    with pytest.raises(SceneError, match=rf"scene\.json: .*{baseline}, which contradict each other"):
        open_scene(path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"type": "Feature"}', '{"type": "FeatureCollection"}', "[" * 9999]
)
def test_a_json_file_that_is_no_stac_item_says_nothing(write_scene: WriteScene, text: str) -> None:
    path = write_scene("scene.tif", numbers())
    path.with_suffix(".json").write_text(text)
    with pytest.raises(SceneError, match=NOTHING_SAID):
        read(path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scale": 0}, "scale is 0, a number above 0 was expected"),
        ({"scale": float("nan")}, "scale is nan"),
        ({"offset": float("inf")}, "offset is inf, a number was expected"),
        ({"offset": -0.1}, "offset is -0.1, in reflectance as it seems"),
    ],
)
def test_impossible_options_are_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SceneOptions(**fields)


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
def test_the_year_is_told_by_the_name(write_scene: WriteScene, name: str, year: int | None) -> None:
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
    values, valid = read(path, SceneOptions(scale=0.0001, offset=0, nodata=given))
    assert np.argwhere(~valid).tolist() == [[0, 0], [2, 4]]
    assert np.isfinite(values).all()


def test_a_stac_item_tells_nodata(write_scene: WriteScene) -> None:
    image = numbers()
    image[3, 2, 4] = 0
    band = {"raster:bands": [{"nodata": 0, "scale": 0.0001}], "href": "B02.tif"}
    properties = {"s2:processing_baseline": "02.10"}
    item = {"type": "Feature", "properties": properties, "assets": {"blue": band}}
    _, valid = read(write_scene("scene.tif", image, item=item))
    assert np.argwhere(~valid).tolist() == [[2, 4]]


def test_where_nothing_is_said_only_zero_in_all_bands_is_no_data(write_scene: WriteScene) -> None:
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


def test_radar_and_terrain_keep_their_units(write_scene: WriteScene) -> None:
    image = np.random.default_rng(0).normal(-12, 3, (3, 6, 7)).astype("float32")
    path = write_scene("scene.tif", image, names=("VV", "VH", "DEM"))
    values, _ = read(path, bands=("DEM", "VV"))
    np.testing.assert_allclose(values, image[[2, 0]], rtol=1e-6)


def test_a_window_is_a_part_of_the_scene(write_scene: WriteScene) -> None:
    image = numbers()
    with open_scene(write_scene("scene.tif", image), SceneOptions(offset=0)) as scene:
        values, valid = scene.read(Window(2, 1, 4, 3), BANDS)
        np.testing.assert_array_equal(values, image[:, 1:4, 2:6])
        assert valid.shape == (3, 4)
        for window in (Window(-1, 0, 2, 2), Window(0, 0, 8, 1), Window(0, 6, 1, 1), Window(0, 0, 0, 1)):
            with pytest.raises(ValueError, match="has no window of rows"):
                scene.read(window, BANDS)


def test_doubts_are_told_of_real_scenes_with_the_wrong_offset_and_of_no_others(real_data: Path) -> None:
    """One of the five places still carries the offset; another shows snow and clouds."""
    bands = parse_bands("B01,B02,B03,B04,B05,B06,B07,B08,B8A,B09,B11,B12")
    paths = sorted((real_data / "real" / "terramind_examples" / "S2L2A").glob("*.tif"))
    assert len(paths) == 5
    doubted: dict[float, set[str]] = {0: set(), -1000: set()}
    for offset, names in doubted.items():
        for path in paths:
            with open_scene(path, SceneOptions(bands=bands, offset=offset)) as scene:
                scene.read(Window(0, 0, 224, 224), BANDS)
                if scene.doubt():
                    names.add(path.stem)
    assert doubted == {0: {"433D_629L_3_1"}, -1000: {path.stem for path in paths} - {"433D_629L_3_1"}}


def test_files_that_are_no_scenes_are_told_in_a_sentence(write_scene: WriteScene, tmp_path: Path) -> None:
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
        "short": "is no GeoTIFF, or a damaged one",
        "text": "is no GeoTIFF, or a damaged one",
        "empty": "is no GeoTIFF, or a damaged one",
        "vrt": "is no GeoTIFF, or a damaged one",
        "missing": r"cannot be read \(No such file or directory\); expected a GeoTIFF",
        "nowhere": "has no coordinate reference system",
        "unplaced": "has no usable geotransform",
        "complex": "holds complex64; expected whole numbers or floats",
    }
    for name, message in messages.items():
        with pytest.raises(SceneError, match=rf"{name}\.tif: {message}"):
            open_scene(tmp_path / f"{name}.tif")
    with pytest.raises(SceneError, match=r"cannot be read \(Is a directory\)"):
        open_scene(tmp_path)


def test_a_file_cut_short_in_its_pixels_is_told_when_they_are_read(
    write_scene: WriteScene, digital_numbers: Callable[[int, int], NDArray[np.uint16]]
) -> None:
    path = write_scene("scene.tif", digital_numbers(200, 300), compress="deflate")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(SceneError, match=r"is truncated or damaged|is no GeoTIFF, or a damaged one"):
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
