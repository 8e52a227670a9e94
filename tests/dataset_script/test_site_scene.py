"""Scenes against plain rasterio, and the refusal of files that do not fit."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.transform import Affine
from rasterio.windows import Window

from euromine.dataset_script.archive import Archive, files_state
from euromine.dataset_script.archive_bands import BANDS
from euromine.monitoring.scenes.scene import open_scene
from euromine.support.errors import ArchiveError

from .sound_site import IMAGE, LABEL, PIXEL, PLACE, open_site, refuse

Writer = Callable[..., Path]
DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.mark.skipif(not DATA.is_dir(), reason="the real imagery is not beside the project")
@pytest.mark.parametrize(
    ("name", "crs", "shape", "years"),
    [
        ("France_1", "EPSG:32631", (246, 227), range(2015, 2022)),
        ("Slovenia_1", "EPSG:32633", (101, 100), range(2015, 2018)),
    ],
)
def test_real_scenes_read_as_plain_rasterio_reads_them(
    name: str, crs: str, shape: tuple[int, int], years: range, plainly: Callable[[Path], Any]
) -> None:
    root = DATA / "real_archive"
    with Archive(root).sites[name].open() as scene:
        assert (scene.site, scene.country, scene.years) == (name, name[:-2], tuple(years))
        assert ((scene.height, scene.width), scene.crs) == (shape, crs)
        for year in years:
            folder = root / "EuroMineNet" / name
            with plainly(folder / "image" / f"Year{year}.tif") as dataset:
                image = dataset.read()
                assert scene.transform == dataset.transform[:6]
            with plainly(folder / "label" / f"Year{year}.tif") as dataset:
                label = dataset.read(1)
            assert set(np.unique(label)) == {0, 255}
            np.testing.assert_array_equal(scene.read_image(year), image)
            np.testing.assert_array_equal(scene.read_label(year), label == 255)
            window = scene.read_image(year, top=31, left=17, height=42, width=60)
            assert window.dtype == np.int16
            np.testing.assert_array_equal(window, image[:, 31:73, 17:77])
            np.testing.assert_array_equal(scene.read_label(year, 31, 17, 42, 60), label[31:73, 17:77] == 255)


def test_a_window_without_a_size_ends_with_the_scene(site: Path) -> None:
    with open_site(site) as scene:
        np.testing.assert_array_equal(scene.read_image(2016, top=15, left=29), IMAGE[:, 15:, 29:])
        np.testing.assert_array_equal(scene.read_image(2016, width=4), IMAGE[:, :, :4])
        assert scene.read_label(2016, height=1).shape == (1, 30)


@pytest.mark.parametrize(
    "window", [(-1, 0, 5, 5), (0, 0, 21, 5), (0, 26, 5, 5), (0, 0, 0, 5), (20, 0, None, None)]
)
def test_a_window_outside_the_scene_is_refused(site: Path, window: tuple[Any, ...]) -> None:
    with open_site(site) as scene:
        for read in (scene.read_image, scene.read_label):
            with pytest.raises(
                ValueError,
                match=r"Austria_1: found a window of rows .* not empty and inside 20 x 30 pixels\.",
            ):
                read(2015, *window)


def test_a_year_that_the_site_lacks_is_refused(site: Path) -> None:
    with (
        open_site(site) as scene,
        pytest.raises(ValueError, match="year: found 2017 for Austria_1; expected one of 2015, 2016"),
    ):
        scene.read_image(2017)


def test_a_closed_scene_says_so(site: Path) -> None:
    with open_site(site) as scene:
        pass
    with pytest.raises(ValueError, match="Austria_1: found the scene closed"):
        scene.read_image(2015)


def test_a_scene_leaves_the_settings_of_gdal_as_they_were(site: Path) -> None:
    from rasterio._env import get_gdal_config

    names = ("GDAL_PAM_ENABLED", "GDAL_DISABLE_READDIR_ON_OPEN", "GDAL_GEOREF_SOURCES", "GDAL_CACHEMAX")
    before = [get_gdal_config(name) for name in names]
    with open_site(site) as scene:
        scene.read_image(2015)
        assert [get_gdal_config(name) for name in names] == before
        assert not rasterio.env.hasenv()
    assert [get_gdal_config(name) for name in names] == before
    with rasterio.Env(GDAL_PAM_ENABLED="YES"), open_site(site):
        assert rasterio.env.getenv()["GDAL_PAM_ENABLED"] == "YES"


def test_unsigned_images_whose_values_fit_are_read_as_int16(site: Path, tiff_writer: Writer) -> None:
    image = IMAGE.astype(np.uint16)
    image[3, 4, 5] = 32767
    tiff_writer(site / "image" / "Year2015.tif", image, **PLACE)
    with open_site(site) as scene:
        read = scene.read_image(2015)
    assert read.dtype == np.int16
    np.testing.assert_array_equal(read, image)


def test_negative_dn_stay(site: Path, tiff_writer: Writer) -> None:
    tiff_writer(site / "image" / "Year2015.tif", IMAGE - 3000, nodata=-9999, **PLACE)
    with open_site(site) as scene:
        np.testing.assert_array_equal(scene.read_image(2015), IMAGE - 3000)


def tell(path: Path, **header: Any) -> Path:
    """Write descriptions, scales or offsets into a file's header."""
    with rasterio.open(path, "r+") as dataset:
        for name, value in header.items():
            setattr(dataset, name, value)
    return path


@pytest.mark.parametrize("prefix", ["", "Surface reflectance "])
def test_named_bands_are_read_in_the_archives_order(site: Path, tiff_writer: Writer, prefix: str) -> None:
    path = tiff_writer(site / "image" / "Year2015.tif", IMAGE[::-1], **PLACE)
    tell(path, descriptions=tuple(prefix + band for band in BANDS[::-1]))
    with open_site(site) as scene:
        np.testing.assert_array_equal(scene.read_image(2015), IMAGE)


@pytest.mark.parametrize(
    ("scale", "offset", "added"), [(1e-4, -0.1, 1000), (1e-4, 0, 0), (1, -1000, 1000), (1e-4, 0.01, -100)]
)
def test_an_offset_in_the_header_is_added_as_predict_adds_it(
    site: Path, tiff_writer: Writer, scale: float, offset: float, added: int
) -> None:
    image = np.where(IMAGE.any(axis=0), IMAGE + added, 0).astype(np.int16)
    path = tiff_writer(site / "image" / "Year2015.tif", image, **PLACE)
    tell(path, scales=(scale,) * 10, offsets=(offset,) * 10)
    with open_site(site) as scene:
        read = scene.read_image(2015)
    assert read.dtype == np.int16
    np.testing.assert_array_equal(read, IMAGE)


@pytest.mark.parametrize(
    ("how", "baseline", "added"),
    [("tag", "04.00", 1000), ("tag", "02.14", 0), ("item", "05.10", 1000), ("item", "03.01", 0)],
)
def test_the_offset_of_a_processing_baseline_is_added_as_predict_adds_it(
    site: Path, tiff_writer: Writer, how: str, baseline: str, added: int
) -> None:
    image = np.where(IMAGE.any(axis=0), IMAGE + added, 0).astype(np.int16)
    path = tiff_writer(site / "image" / "Year2015.tif", image, **PLACE)
    before = files_state(Archive(site.parent), Archive(site.parent).sites[site.name])
    if how == "tag":
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(PROCESSING_BASELINE=baseline)
    else:
        item = {"type": "Feature", "properties": {"s2:processing_baseline": baseline}, "assets": {}}
        path.with_suffix(".json").write_text(json.dumps(item))
    assert files_state(Archive(site.parent), Archive(site.parent).sites[site.name]) != before
    with open_site(site) as scene:
        np.testing.assert_array_equal(scene.read_image(2015), IMAGE)
    # The other reader of headers.
    with open_scene(path) as scene:
        values, valid = scene.read(Window(0, 0, 30, 20), BANDS)
    np.testing.assert_array_equal(values[:, valid], IMAGE[:, valid])


def test_an_item_that_contradicts_itself_is_refused(site: Path, tiff_writer: Writer) -> None:
    item = {
        "type": "Feature",
        "properties": {"s2:processing_baseline": "05.00"},
        "assets": {"blue": {"href": "a.tif", "raster:bands": [{"scale": 0.0001, "offset": 0.0}]}},
    }
    beside = site / "image" / "Year2015.json"
    beside.write_text(json.dumps(item))
    refuse(site, beside, "which contradict each other", "Correct the item, or remove it.")


def test_a_label_of_255_alone_with_255_as_nodata_is_refused_until_it_is_told(
    site: Path, tiff_writer: Writer
) -> None:
    path = tiff_writer(site / "label" / "Year2015.tif", LABEL, nodata=255, **PLACE)
    refuse(
        site,
        path,
        "found 255 but no 1, and nodata=255 in the header",
        "-unsetnodata",
        "-mo IGNORED_VALUE=255",
    )
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(IGNORED_VALUE="255")
    with open_site(site) as scene:
        np.testing.assert_array_equal(scene.read_label(2015), LABEL[0])


def test_headers_that_cannot_be_honoured_are_refused(site: Path, tiff_writer: Writer) -> None:
    path = tiff_writer(site / "image" / "Year2015.tif", IMAGE, **PLACE)
    tell(path, scales=(0.0002,) * 10)
    refuse(
        site, path, "found the scale 0.0002 and the offset 0", "reflectance x 10000 but for a whole offset"
    )
    tell(path, scales=(1e-4,) * 10, offsets=(0.00005,) * 10)
    refuse(site, path, "found the scale 0.0001 and the offset 5e-05")
    tell(path, offsets=(0,) * 10, descriptions=(*BANDS[:9], "B09"))
    refuse(site, path, "found the bands B02, B03, ", "B11, B09", "expected B02")


@pytest.mark.parametrize("how", ["nodata", "aux.xml", "mask"])
def test_pixels_that_the_header_marks_as_without_data_are_0_and_their_labels_255(
    site: Path, tiff_writer: Writer, how: str
) -> None:
    image, gap = IMAGE.copy(), np.zeros((20, 30), bool)
    gap[3, 2:5] = True
    image[:, gap] = -9999
    if how != "mask":
        image[1:, 3, 2] = IMAGE[1:, 3, 2]  # one band of ten is enough
    path = tiff_writer(
        site / "image" / "Year2015.tif", image, nodata=-9999 if how == "nodata" else None, **PLACE
    )
    if how == "mask":
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
            dataset.write_mask(~gap)
    if how == "aux.xml":
        Path(f"{path}.aux.xml").write_text("<PAMDataset><NoDataValue>-9999</NoDataValue></PAMDataset>")
    label = np.where(gap, 255, LABEL[0] // 255)
    with open_site(site) as scene:
        assert scene.marked_years == {2015}
        np.testing.assert_array_equal(scene.read_image(2015), np.where(gap, 0, IMAGE))
        np.testing.assert_array_equal(scene.read_gaps(2015), gap)
        np.testing.assert_array_equal(scene.read_gaps(2015, 2, 3, 5, 1), gap[2:7, 3:4])
        np.testing.assert_array_equal(scene.read_label(2015), label)
        np.testing.assert_array_equal(scene.read_label(2015, 2, 3, 5, 4), label[2:7, 3:7])
        assert not scene.read_gaps(2016).any()
        np.testing.assert_array_equal(scene.read_label(2016), LABEL[0] // 255)


def test_an_offset_leaves_pixels_without_data_at_0(site: Path, tiff_writer: Writer) -> None:
    image = IMAGE + np.int16(2000)
    image[:, 3, 2:5] = 0
    path = tiff_writer(site / "image" / "Year2015.tif", image, nodata=0, **PLACE)
    tell(path, scales=(1e-4,) * 10, offsets=(-0.1,) * 10)
    with open_site(site) as scene:
        read = scene.read_image(2015)
    assert not read[:, 3, 2:5].any()
    np.testing.assert_array_equal(read[:, 4:], IMAGE[:, 4:] + 1000)


def test_0_in_all_bands_is_data_where_the_header_marks_none(site: Path, tiff_writer: Writer) -> None:
    image = IMAGE.copy()
    image[:, 5, 10] = 0
    tiff_writer(site / "image" / "Year2015.tif", image, **PLACE)
    with open_site(site) as scene:
        assert not scene.marked_years
        assert scene.read_label(2015)[5, 10] == 1


def test_a_mask_beside_an_image_is_refused(site: Path, tiff_writer: Writer) -> None:
    path = tiff_writer(site / "image" / "Year2015.tif", IMAGE, **PLACE)
    mask = tiff_writer(site / "mask.tif", LABEL, **PLACE).rename(path.with_name("Year2015.tif.msk"))
    refuse(site, mask, "found a mask beside an image; expected a nodata value", "GDAL_TIFF_INTERNAL_MASK")


def test_a_coordinate_system_without_a_code_is_given_as_wkt(site: Path, tiff_writer: Writer) -> None:
    place = {"crs": "+proj=laea +lat_0=47 +lon_0=11 +datum=WGS84", "transform": Affine(10, 0, 0, 0, -10, 0)}
    for year in (2015, 2016):
        tiff_writer(site / "image" / f"Year{year}.tif", IMAGE, **place)
    with open_site(site) as scene:
        assert "Lambert_Azimuthal_Equal_Area" in scene.crs
        assert rasterio.crs.CRS.from_wkt(scene.crs) == rasterio.crs.CRS.from_string(str(place["crs"]))


def test_rounding_of_the_geotransform_is_tolerated(site: Path, tiff_writer: Writer) -> None:
    a, b, c, d, e, f = PLACE["transform"][:6]
    nearly = Affine(a * (1 + 1e-9), b, c + a / 20, d, e, f)
    tiff_writer(site / "image" / "Year2016.tif", IMAGE, crs="EPSG:4326", transform=nearly)
    tiff_writer(site / "label" / "Year2015.tif", LABEL, **PLACE)
    with open_site(site) as scene:
        assert scene.transform == PLACE["transform"][:6]


@pytest.mark.parametrize(
    ("values", "meaning"),
    [
        ((0, 255), {0: 0, 255: 1}),
        ((0, 1), {0: 0, 1: 1}),
        ((0, 1, 255), {0: 0, 1: 1, 255: 255}),
        ((1, 255), {1: 1, 255: 255}),
        ((0,), {0: 0}),
        ((1,), {1: 1}),
        ((255,), {255: 1}),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_windows_of_a_label_agree_on_what_255_means(
    site: Path, tiff_writer: Writer, values: tuple[int, ...], meaning: dict[int, int], dtype: str
) -> None:
    # Each value in rows of its own, so most windows see one value only.
    label = np.repeat(np.resize(np.array(values), 20), 30).reshape(1, 20, 30).astype(dtype)
    label.sort(axis=1)
    for year in (2015, 2016):
        tiff_writer(site / "label" / f"Year{year}.tif", label)
    expected = np.vectorize(meaning.get)(label[0])
    with open_site(site) as scene:
        for top in range(20):
            window = scene.read_label(2016, top=top, height=1)
            assert window.dtype == np.uint8
            np.testing.assert_array_equal(window[0], expected[top])


def test_a_site_may_mix_the_two_conventions_without_ignored_pixels(site: Path, tiff_writer: Writer) -> None:
    tiff_writer(site / "label" / "Year2016.tif", LABEL // 255)
    with open_site(site) as scene:
        np.testing.assert_array_equal(scene.read_label(2015), scene.read_label(2016))
        assert scene.read_label(2015).max() == 1


def test_255_as_mine_in_one_year_and_as_ignored_in_another_is_refused(
    site: Path, tiff_writer: Writer
) -> None:
    label = LABEL.copy()
    label[0, 0, 0] = 1
    tiff_writer(site / "label" / "Year2016.tif", label)
    refuse(site, site / "label" / "Year2015.tif", "255 but no 1", "Year2016.tif", "one convention")


def test_other_values_are_refused_wherever_they_are(site: Path, tiff_writer: Writer) -> None:
    label = LABEL.copy()
    label[0, 19, 22:29] = [2, 3, 4, 7, 254, 9, 128]
    path = tiff_writer(site / "label" / "Year2016.tif", label)
    refuse(site, path, "found the values 2, 3, 4, 7, 9, ...", "0 and 255")
    with open_site(site) as scene, pytest.raises(ArchiveError, match="found the values"):
        scene.read_label(2016, height=2)


def test_another_number_of_bands_is_refused(site: Path, tiff_writer: Writer) -> None:
    path = tiff_writer(site / "image" / "Year2016.tif", IMAGE[:9], **PLACE)
    refuse(site, path, "found 9 bands", "expected 10 bands (B02 B03", "int16")
    tiff_writer(path, IMAGE, **PLACE)
    path = tiff_writer(site / "label" / "Year2016.tif", np.repeat(LABEL, 3, axis=0))
    refuse(site, path, "found 3 bands", "expected one band")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float_reflectance_is_refused(site: Path, tiff_writer: Writer, dtype: str) -> None:
    path = tiff_writer(site / "image" / "Year2016.tif", (IMAGE / 10000).astype(dtype), **PLACE)
    refuse(site, path, f"found reflectance as {dtype}", "int16 DN (reflectance x 10000)")


@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint32"])
def test_other_types_of_image_are_refused(site: Path, tiff_writer: Writer, dtype: str) -> None:
    path = tiff_writer(site / "image" / "Year2015.tif", IMAGE.astype(dtype), **PLACE)
    refuse(site, path, f"found {dtype}", "int16 DN")


def test_unsigned_values_that_int16_cannot_hold_are_refused(site: Path, tiff_writer: Writer) -> None:
    image = IMAGE.astype(np.uint16)
    image[9, 19, 29] = 40000
    path = tiff_writer(site / "image" / "Year2015.tif", image, **PLACE)
    refuse(site, path, "found the value 40000", "at most 32767")


def test_a_float_label_is_refused(site: Path, tiff_writer: Writer) -> None:
    path = tiff_writer(site / "label" / "Year2015.tif", LABEL.astype(np.float32))
    refuse(site, path, "found float32", "uint8")


def test_another_size_is_refused(site: Path, tiff_writer: Writer) -> None:
    path = tiff_writer(site / "label" / "Year2016.tif", LABEL[:, :19])
    refuse(site, path, "found 19 x 30 pixels; expected 20 x 30", "image/Year2015.tif")
    tiff_writer(path, LABEL)
    path = tiff_writer(site / "image" / "Year2016.tif", IMAGE[:, :, :29], **PLACE)
    refuse(site, path, "found 20 x 29 pixels; expected 20 x 30", "image/Year2015.tif")


def test_an_image_without_a_crs_or_a_geotransform_is_refused(site: Path, tiff_writer: Writer) -> None:
    path = tiff_writer(site / "image" / "Year2016.tif", IMAGE, transform=PLACE["transform"])
    refuse(site, path, "found no coordinate reference system", "EPSG:32633")
    tiff_writer(path, IMAGE, crs="EPSG:4326")
    refuse(site, path, "found no usable geotransform")


@pytest.mark.parametrize("kind", ["image", "label"])
def test_a_file_that_lies_elsewhere_is_refused(site: Path, tiff_writer: Writer, kind: str) -> None:
    pixels = {"image": IMAGE, "label": LABEL}[kind]
    path = site / kind / "Year2016.tif"
    tiff_writer(path, pixels, crs="EPSG:4258", transform=PLACE["transform"])
    refuse(site, path, "found the CRS EPSG:4258; expected EPSG:4326", "image/Year2015.tif")
    tiff_writer(path, pixels, crs="EPSG:4326", transform=Affine(PIXEL, 0.0, 14.0 + PIXEL, 0.0, -PIXEL, 47.0))
    refuse(site, path, "found a grid 1 pixels away", "within 0.1 pixel")
    tiff_writer(
        path, pixels, crs="EPSG:4326", transform=Affine(1.01 * PIXEL, 0.0, 14.0, 0.0, -1.01 * PIXEL, 47.0)
    )
    refuse(site, path, "found a grid 0.3 pixels away")


def test_a_label_with_a_geotransform_alone_must_agree_too(site: Path, tiff_writer: Writer) -> None:
    path = site / "label" / "Year2016.tif"
    tiff_writer(path, LABEL, transform=Affine(PIXEL, 0.0, 14.0, 0.0, -PIXEL, 47.0 + 2 * PIXEL))
    refuse(site, path, "found a grid 2 pixels away")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_vrt_renamed_tif_is_refused(site: Path, tmp_path: Path, tiff_writer: Writer, zipped: bool) -> None:
    secret = tiff_writer(tmp_path / "secret" / "private.tif", IMAGE + 1, **PLACE)
    path = site / "image" / "Year2016.tif"
    rasterio.shutil.copy(secret, path, driver="VRT")
    with rasterio.open(path) as dataset:  # so it would work, were it not refused
        np.testing.assert_array_equal(dataset.read(), IMAGE + 1)
    if zipped:
        archive = Path(shutil.make_archive(str(tmp_path / "all"), "zip", site.parent))
        with pytest.raises(
            ArchiveError,
            match=re.escape(
                f"{archive}/Austria_1/image/Year2016.tif: found a file that is damaged or not a GeoTIFF"
            ),
        ):
            Archive(archive).sites["Austria_1"].open()
    else:
        refuse(site, path, "found a file that is damaged or not a GeoTIFF")


def test_no_file_beside_a_raster_is_read(site: Path, tiff_writer: Writer) -> None:
    elsewhere = (
        "<PAMDataset><SRS>EPSG:32633</SRS><GeoTransform>5e5, 10, 0, 5e6, 0, -10</GeoTransform></PAMDataset>"
    )
    label = site / "label" / "Year2015.tif"
    (label.parent / f"{label.name}.aux.xml").write_text(elsewhere)
    (label.parent / "Year2016.tfw").write_text("10\n0\n0\n-10\n500000\n5000000\n")
    with rasterio.open(label) as dataset:  # so it would be read, were it not forbidden
        assert dataset.crs == "EPSG:32633"
    with open_site(site) as scene:
        np.testing.assert_array_equal(scene.read_label(2015), LABEL[0] == 255)
        assert scene.crs == "EPSG:4326"


@pytest.mark.parametrize("compress", ["none", "deflate"])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.6, 0.99])
def test_a_truncated_tiff_is_refused(site: Path, tiff_writer: Writer, compress: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 9000, (10, 20, 30), dtype=np.int16)
    path = tiff_writer(site / "image" / "Year2016.tif", noise, compress=compress, **PLACE)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refuse(site, path, "damaged", "expected a")


def test_damage_is_an_error_whatever_the_environment_says(
    site: Path, tiff_writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiff_writer(site / "image" / "Year2016.tif", IMAGE, **PLACE)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    monkeypatch.setenv("GTIFF_IGNORE_READ_ERRORS", "YES")
    refuse(site, path, "found truncated or damaged data")


def test_a_file_that_is_gone_or_forbidden_is_named(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = site / "label" / "Year2016.tif"
    found = Archive(site.parent).sites["Austria_1"]
    path.unlink()
    with pytest.raises(
        ArchiveError, match=re.escape(f"{path}: found no readable file (No such file or directory)")
    ):
        found.open()

    def forbid(self: Path, *_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", forbid)
    with pytest.raises(
        ArchiveError, match=r"Year2015\.tif: found no readable file \(Permission denied\); expected"
    ):
        found.open()


def sparse_tiff(path: Path, height: int, width: int, **options: Any) -> Path:
    """A TIFF of any size that takes no room on disk: its blocks are absent."""
    profile = {"driver": "GTiff", "count": 10, "dtype": "int16", "height": height, "width": width}
    with rasterio.open(path, "w", sparse_ok=True, **(profile | PLACE | options)):
        pass
    return path


def test_absurd_sizes_are_refused_before_anything_is_read(site: Path) -> None:
    tiles = {"tiled": True, "blockxsize": 4096, "blockysize": 4096, "bigtiff": "yes"}
    path = sparse_tiff(site / "image" / "Year2015.tif", 70_000, 60_000, **tiles)
    refuse(site, path, "found a header of 70000 x 60000 pixels")


def test_blocks_that_do_not_fit_in_memory_are_refused(site: Path) -> None:
    strip = {"interleave": "pixel", "compress": "deflate", "blockysize": 4000}
    path = sparse_tiff(site / "image" / "Year2015.tif", 4_000, 5_000, **strip)
    refuse(site, path, "blocks of 4000 x 5000 x 10, 381 MB each", "TILED=YES")
