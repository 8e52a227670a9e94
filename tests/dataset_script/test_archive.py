"""Reading and writing the archive, against plain rasterio; and what is said about files that do not fit."""

import os
import pickle
import re
import resource
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

from euromine.dataset_script.archive import Archive
from euromine.dataset_script.archive_bands import BANDS
from euromine.dataset_script.archive_writing import write_site
from euromine.dataset_script.site_scene import Scene
from euromine.support.errors import ArchiveError

Writer = Callable[..., Path]

DATA = Path(__file__).parents[2].parent / "shared" / "data"
PIXEL = 9.0e-5
PLACE = {"crs": "EPSG:4326", "transform": Affine(PIXEL, 0.0, 14.0, 0.0, -PIXEL, 47.0)}
IMAGE = np.arange(10 * 20 * 30, dtype=np.int16).reshape(10, 20, 30)
LABEL = np.zeros((1, 20, 30), dtype=np.uint8)
LABEL[0, 5:9, 10:20] = 255


@pytest.fixture
def site(tmp_path: Path, tiff_writer: Writer) -> Path:
    """The folder of a sound site of two years, for a test to spoil."""
    folder = tmp_path / "EuroMineNet" / "Austria_1"
    for year in (2015, 2016):
        tiff_writer(folder / "image" / f"Year{year}.tif", IMAGE, **PLACE)
        tiff_writer(folder / "label" / f"Year{year}.tif", LABEL)
    return folder


def open_site(folder: Path) -> Scene:
    return Archive(folder.parent).sites[folder.name].open()


def read_everything(folder: Path) -> None:
    with open_site(folder) as scene:
        for year in scene.years:
            scene.read_image(year)
            scene.read_label(year)


def refuse(folder: Path, file: Path | str, *parts: str) -> None:
    """Listing, opening or reading the site is refused in one sentence that names the file."""
    with pytest.raises(ArchiveError) as caught:
        read_everything(folder)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert message.endswith(".")
    assert "expected" in message
    for part in parts:
        assert part in message


@pytest.fixture
def plainly() -> Iterator[Callable[[Path], Any]]:
    """Plain rasterio, which warns that a label has no georeferencing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield rasterio.open


# Listing


def test_sites_are_sorted_and_know_their_country_and_years(small_archive: Path) -> None:
    archive = Archive(small_archive)
    assert archive.path == small_archive
    assert list(archive.sites) == ["Austria_1", "Bulgaria_1", "Czechia_2"]
    assert [site.country for site in archive.sites.values()] == ["Austria", "Bulgaria", "Czechia"]
    assert archive.sites["Austria_1"].years == (2015, 2016, 2017)
    assert archive.sites["Czechia_2"].years == (2015, 2017)


@pytest.mark.parametrize(
    ("name", "country"),
    [("Portuga_1", "Portugal"), ("Kiruna", "Kiruna"), ("Kiruna_3", "Kiruna"), ("Mt_Isa_12", "Mt_Isa")],
)
def test_the_country_is_the_name_without_its_number(site: Path, name: str, country: str) -> None:
    site.rename(site.with_name(name))
    assert Archive(site.parent).sites[name].country == country


def test_the_folder_of_sites_its_parent_and_a_zip_of_either_give_the_same(
    small_archive: Path, small_archive_zip: Path, tmp_path: Path
) -> None:
    inner = shutil.make_archive(str(tmp_path / "inner"), "zip", small_archive / "EuroMineNet")
    wrapped = shutil.make_archive(str(tmp_path / "wrapped"), "zip", small_archive.parent, small_archive.name)
    renamed = shutil.copy(small_archive_zip, tmp_path / "data set.download")
    expected = read_all(Archive(small_archive))
    for path in (small_archive / "EuroMineNet", small_archive_zip, inner, wrapped, renamed):
        assert read_all(Archive(path)) == expected


def read_all(archive: Archive) -> dict[str, Any]:
    """Everything that a caller sees of an archive, comparable by `==`."""
    everything = {}
    for name, archive_site in archive.sites.items():
        with archive_site.open() as scene:
            pixels = [scene.read_image(y).tobytes() + scene.read_label(y).tobytes() for y in scene.years]
            place = (scene.crs, scene.transform, scene.height, scene.width)
            everything[name] = (scene.site, scene.country, scene.years, place, pixels)
    return everything


def test_plural_and_lower_case_names_and_an_archive_in_parts_are_read(site: Path) -> None:
    (site / "image").rename(site / "Images")
    (site / "label").rename(site / "LABELS")
    (site / "Images" / "Year2015.tif").rename(site / "Images" / "year2015.TIF")
    (site / "LABELS" / "Year2015.tif").rename(site / "LABELS" / "Label2015.tiff")
    (site / "LABELS" / "Year2016.tif").rename(site / "LABELS" / "2016.tif")
    (site / "image").mkdir()
    (site / "Images" / "Year2016.tif").rename(site / "image" / "Year2016.tif")
    with open_site(site) as scene:
        assert scene.years == (2015, 2016)
        np.testing.assert_array_equal(scene.read_image(2015), IMAGE)
        np.testing.assert_array_equal(scene.read_label(2015), LABEL[0] == 255)


def test_files_that_belong_to_no_archive_are_ignored(site: Path) -> None:
    for name in (
        "._Year2015.tif",
        ".DS_Store",
        "Thumbs.db",
        "Year2015.tif.aux.xml",
        "Year2015.tfw",
        "README.md",
    ):
        (site / "image" / name).write_bytes(b"nothing")
    (site / "notes").mkdir()
    (site / "readme.txt").write_text("about the site")
    (site.parent / "README.txt").write_text("about the archive")
    for name in (".Austria_2.partial", "__MACOSX"):
        (site.parent / name).mkdir()
    assert list(Archive(site.parent).sites) == ["Austria_1"]
    assert Archive(site.parent).sites["Austria_1"].years == (2015, 2016)


def test_the_zips_of_a_mac_are_read(small_archive_zip: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(small_archive_zip, tmp_path / "mac.zip"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/EuroMineNet/Austria_1/image/._Year2015.tif", b"fork")
        archive.writestr("EuroMineNet/.DS_Store", b"view")
    assert list(Archive(path).sites) == ["Austria_1", "Bulgaria_1", "Czechia_2"]


def test_euromine_net_is_found_beside_other_folders_with_images(site: Path) -> None:
    (site.parent.parent / "website" / "images").mkdir(parents=True)
    assert list(Archive(site.parent.parent).sites) == ["Austria_1"]


def test_a_relative_path_still_works_in_a_worker_of_another_folder(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(site.parent.parent)
    found = Archive("EuroMineNet").sites["Austria_1"]
    monkeypatch.chdir("/")
    with found.open() as scene:
        assert scene.years == (2015, 2016)


def test_a_site_can_be_pickled(small_archive_zip: Path) -> None:
    site = Archive(small_archive_zip).sites["Bulgaria_1"]
    copy = pickle.loads(pickle.dumps(site))
    assert copy == site
    with copy.open() as scene:
        assert (scene.height, scene.width) == (97, 61)


def test_importing_the_archive_does_not_import_rasterio() -> None:
    code = "import sys, euromine.dataset_script.archive; sys.exit('rasterio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Reading


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
            with pytest.raises(ValueError, match=r"Austria_1 has no window of rows .* inside 20 x 30 pixels"):
                read(2015, *window)


def test_a_year_that_the_site_lacks_is_refused(site: Path) -> None:
    with (
        open_site(site) as scene,
        pytest.raises(ValueError, match="has no year 2017; expected one of 2015, 2016"),
    ):
        scene.read_image(2017)


def test_a_closed_scene_says_so(site: Path) -> None:
    with open_site(site) as scene:
        pass
    with pytest.raises(ValueError, match="scene Austria_1 is closed"):
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
    tiff_writer(site / "image" / "Year2015.tif", IMAGE - 3000, nodata=-3000, **PLACE)
    with open_site(site) as scene:
        np.testing.assert_array_equal(scene.read_image(2015), IMAGE - 3000)


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


# What 255 means in a label


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
    refuse(site, path, "holds the values 2, 3, 4, 7, 9, ...", "0 and 255")
    with open_site(site) as scene, pytest.raises(ArchiveError, match="holds the values"):
        scene.read_label(2016, height=2)


# Layout that does not fit


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ArchiveError, match=r"nowhere: does not exist; expected the archive, a folder or a zip"
    ):
        Archive(tmp_path / "nowhere")


def test_an_archive_without_a_site_is_refused(tmp_path: Path, site: Path) -> None:
    empty = tmp_path / "empty"
    (empty / "EuroMineNet" / "Austria_1").mkdir(parents=True)
    for path in (empty, empty / "EuroMineNet", site):
        with pytest.raises(ArchiveError, match=re.escape(f"{path}: holds no site; expected folders such as")):
            Archive(path)


def test_two_archives_side_by_side_are_refused(tmp_path: Path, site: Path) -> None:
    site.parent.rename(tmp_path / "first")
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    with pytest.raises(ArchiveError, match=r"several folders \(first, second\); expected one archive"):
        Archive(tmp_path)


def test_a_file_that_is_no_zip_or_a_torn_one_is_refused(tmp_path: Path, small_archive_zip: Path) -> None:
    for content in (b"text", small_archive_zip.read_bytes()[:-200]):
        (tmp_path / "torn.zip").write_bytes(content)
        with pytest.raises(ArchiveError, match=r"torn\.zip: is neither a folder nor a whole zip"):
            Archive(tmp_path / "torn.zip")


def test_an_encrypted_zip_is_refused(tmp_path: Path, small_archive_zip: Path) -> None:
    content = bytearray(small_archive_zip.read_bytes())
    entry = content.rfind(b"PK\x01\x02")  # a member in the zip's directory; its flags follow at byte 8
    content[entry + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(content)
    with pytest.raises(
        ArchiveError, match=r"locked\.zip: 'EuroMineNet/.*' is encrypted; expected a zip without"
    ):
        Archive(tmp_path / "locked.zip")


@pytest.mark.parametrize("kind", ["image", "label"])
def test_a_year_with_an_image_or_a_label_alone_is_refused(site: Path, kind: str) -> None:
    other = {"image": "label", "label": "image"}[kind]
    (site / other / "Year2016.tif").unlink()
    refuse(site, site / kind / "Year2016.tif", f"has no {other}", f"expected Austria_1/{other}/Year2016.tif")


def test_an_empty_site_is_refused(site: Path) -> None:
    (site.parent / "Austria_2" / "image").mkdir(parents=True)
    refuse(site, site.parent / "Austria_2", "holds no image", "image/Year2015.tif")


@pytest.mark.parametrize(
    "name", ["mosaic.tif", "Year15.tif", "Year20155.tif", "Year2015_v2.tif", "Year0000.tif"]
)
def test_a_file_name_that_is_no_year_is_refused(site: Path, name: str) -> None:
    (site / "image" / "Year2016.tif").rename(site / "image" / name)
    refuse(site, site / "image" / name, "is no year", "Year2015.tif")


def test_two_files_of_the_same_year_are_refused(site: Path) -> None:
    shutil.copy(site / "label" / "Year2015.tif", site / "label" / "Label2015.tif")
    refuse(site, site / "label" / "Year2015.tif", "as is", "Label2015.tif", "one file a year")


def test_the_same_file_twice_in_a_zip_is_refused(tmp_path: Path, small_archive_zip: Path) -> None:
    path = Path(shutil.copy(small_archive_zip, tmp_path / "twice.zip"))
    name = "EuroMineNet/Austria_1/image/Year2015.tif"
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(name, b"other")
    with pytest.raises(ArchiveError, match=re.escape(f"{path}/{name}: is of the year 2015")):
        Archive(path)


def test_a_folder_that_cannot_be_listed_is_named(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def forbid(path: Any) -> Any:
        if Path(path) == site / "label":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbid)
    refuse(site, site / "label", "cannot be listed (Permission denied)")


# Files that do not fit


def test_another_number_of_bands_is_refused(site: Path, tiff_writer: Writer) -> None:
    path = tiff_writer(site / "image" / "Year2016.tif", IMAGE[:9], **PLACE)
    refuse(site, path, "has 9 bands", "expected 10 bands (B02 B03", "int16")
    tiff_writer(path, IMAGE, **PLACE)
    path = tiff_writer(site / "label" / "Year2016.tif", np.repeat(LABEL, 3, axis=0))
    refuse(site, path, "has 3 bands", "expected one band")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float_reflectance_is_refused(site: Path, tiff_writer: Writer, dtype: str) -> None:
    path = tiff_writer(site / "image" / "Year2016.tif", (IMAGE / 10000).astype(dtype), **PLACE)
    refuse(site, path, f"holds reflectance as {dtype}", "int16 DN (reflectance x 10000)")


@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint32"])
def test_other_types_of_image_are_refused(site: Path, tiff_writer: Writer, dtype: str) -> None:
    path = tiff_writer(site / "image" / "Year2015.tif", IMAGE.astype(dtype), **PLACE)
    refuse(site, path, f"holds {dtype}", "int16 DN")


def test_unsigned_values_that_int16_cannot_hold_are_refused(site: Path, tiff_writer: Writer) -> None:
    image = IMAGE.astype(np.uint16)
    image[9, 19, 29] = 40000
    path = tiff_writer(site / "image" / "Year2015.tif", image, **PLACE)
    refuse(site, path, "holds the value 40000", "at most 32767")


def test_a_float_label_is_refused(site: Path, tiff_writer: Writer) -> None:
    path = tiff_writer(site / "label" / "Year2015.tif", LABEL.astype(np.float32))
    refuse(site, path, "holds float32", "uint8")


def test_another_size_is_refused(site: Path, tiff_writer: Writer) -> None:
    path = tiff_writer(site / "label" / "Year2016.tif", LABEL[:, :19])
    refuse(site, path, "has 19 x 30 pixels; expected 20 x 30", "image/Year2015.tif")
    tiff_writer(path, LABEL)
    path = tiff_writer(site / "image" / "Year2016.tif", IMAGE[:, :, :29], **PLACE)
    refuse(site, path, "has 20 x 29 pixels; expected 20 x 30", "image/Year2015.tif")


def test_an_image_without_a_crs_or_a_geotransform_is_refused(site: Path, tiff_writer: Writer) -> None:
    path = tiff_writer(site / "image" / "Year2016.tif", IMAGE, transform=PLACE["transform"])
    refuse(site, path, "has no coordinate reference system", "EPSG:4326")
    tiff_writer(path, IMAGE, crs="EPSG:4326")
    refuse(site, path, "has no usable geotransform")


@pytest.mark.parametrize("kind", ["image", "label"])
def test_a_file_that_lies_elsewhere_is_refused(site: Path, tiff_writer: Writer, kind: str) -> None:
    pixels = {"image": IMAGE, "label": LABEL}[kind]
    path = site / kind / "Year2016.tif"
    tiff_writer(path, pixels, crs="EPSG:4258", transform=PLACE["transform"])
    refuse(site, path, "has the CRS EPSG:4258; expected EPSG:4326", "image/Year2015.tif")
    tiff_writer(path, pixels, crs="EPSG:4326", transform=Affine(PIXEL, 0.0, 14.0 + PIXEL, 0.0, -PIXEL, 47.0))
    refuse(site, path, "lies 1 pixels away", "within 0.1 pixel")
    tiff_writer(
        path, pixels, crs="EPSG:4326", transform=Affine(1.01 * PIXEL, 0.0, 14.0, 0.0, -1.01 * PIXEL, 47.0)
    )
    refuse(site, path, "lies 0.3 pixels away")


def test_a_label_with_a_geotransform_alone_must_agree_too(site: Path, tiff_writer: Writer) -> None:
    path = site / "label" / "Year2016.tif"
    tiff_writer(path, LABEL, transform=Affine(PIXEL, 0.0, 14.0, 0.0, -PIXEL, 47.0 + 2 * PIXEL))
    refuse(site, path, "lies 2 pixels away")


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
    refuse(site, path, "damaged", "GeoTIFF")


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
    refuse(site, path, "claims 70000 x 60000 pixels")


def test_blocks_that_do_not_fit_in_memory_are_refused(site: Path) -> None:
    strip = {"interleave": "pixel", "compress": "deflate", "blockysize": 4000}
    path = sparse_tiff(site / "image" / "Year2015.tif", 4_000, 5_000, **strip)
    refuse(site, path, "blocks of 4000 x 5000 x 10, 381 MB each", "TILED=YES")


# Writing


def arrays(years: int = 2, height: int = 20, width: int = 30) -> dict[str, Any]:
    noise = np.random.default_rng(years)
    return {
        "images": noise.integers(-100, 9000, (years, 10, height, width), dtype=np.int16),
        "labels": noise.integers(0, 2, (years, height, width), dtype=np.uint8),
        "years": range(2015, 2015 + years),
        "crs": "EPSG:4326",
        "transform": PLACE["transform"][:6],
    }


def test_a_written_site_has_the_published_layout(tmp_path: Path, plainly: Callable[[Path], Any]) -> None:
    given = arrays(height=300, width=270)
    write_site(tmp_path, "Portuga_9", **given)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    folder = tmp_path / "Portuga_9"
    assert files == [
        f"Portuga_9/{kind}/Year{year}.tif" for kind in ("image", "label") for year in (2015, 2016)
    ]
    for number, year in enumerate((2015, 2016)):
        with plainly(folder / "image" / f"Year{year}.tif") as dataset:
            assert (dataset.driver, dataset.dtypes, dataset.crs) == (
                "GTiff",
                ("int16",) * len(BANDS),
                "EPSG:4326",
            )
            assert dataset.transform == PLACE["transform"]
            assert dataset.profile["tiled"]
            assert dataset.profile["compress"] == "deflate"
            np.testing.assert_array_equal(dataset.read(), given["images"][number])
        with plainly(folder / "label" / f"Year{year}.tif") as dataset:
            assert (dataset.count, dataset.dtypes, dataset.crs) == (1, ("uint8",), None)
            np.testing.assert_array_equal(dataset.read(1), given["labels"][number] * 255)


def test_a_written_site_reads_back(tmp_path: Path) -> None:
    given = arrays(years=3)
    write_site(tmp_path / "new" / "EuroMineNet", "Kiruna", **given)
    with Archive(tmp_path / "new").sites["Kiruna"].open() as scene:
        assert (scene.years, scene.crs, scene.transform) == (
            (2015, 2016, 2017),
            "EPSG:4326",
            given["transform"],
        )
        for number, year in enumerate(scene.years):
            np.testing.assert_array_equal(scene.read_image(year), given["images"][number])
            np.testing.assert_array_equal(scene.read_label(year), given["labels"][number])


def test_the_same_arrays_give_the_same_bytes_over_and_over(tmp_path: Path) -> None:
    def content() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in tmp_path.rglob("*.tif")}

    write_site(tmp_path, "Austria_1", **arrays())
    first = content()
    write_site(tmp_path, "Austria_1", **arrays(years=3))
    assert len(content()) == 6
    write_site(tmp_path, "Austria_1", **arrays())
    assert content() == first
    assert [path.name for path in tmp_path.iterdir()] == ["Austria_1"]


def test_what_a_killed_run_left_is_no_site_and_is_cleared(tmp_path: Path) -> None:
    for leftover in (".Austria_1.partial", ".Austria_1.replaced"):
        (tmp_path / leftover / "image").mkdir(parents=True)
        (tmp_path / leftover / "image" / "Year2015.tif").write_bytes(b"torn")
    write_site(tmp_path, "Bulgaria_1", **arrays())
    assert list(Archive(tmp_path).sites) == ["Bulgaria_1"]
    for _ in range(2):
        write_site(tmp_path, "Austria_1", **arrays())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Austria_1", "Bulgaria_1"]


@pytest.fixture
def full_disk() -> Iterator[Callable[[int], None]]:
    """No file may grow beyond a number of bytes, as on a disk that is full."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@pytest.mark.parametrize("room", [1_000, 5_000, 130_000, 145_000, 155_000])
def test_a_full_disk_leaves_the_old_site_and_no_other(
    tmp_path: Path, room: int, full_disk: Callable[[int], None]
) -> None:
    write_site(tmp_path, "Austria_1", **arrays())
    large = arrays(height=100, width=100)  # about 160,000 bytes a year
    full_disk(room)
    for name in ("Austria_1", "Bulgaria_1"):
        with pytest.raises(OSError, match=r"Year2015\.tif: .*; the disk may be full, or a quota reached\.$"):
            write_site(tmp_path, name, **large)
    full_disk(10**9)
    assert [path.name for path in tmp_path.iterdir()] == ["Austria_1"]
    with open_site(tmp_path / "Austria_1") as scene:
        np.testing.assert_array_equal(scene.read_image(2015), arrays()["images"][0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((2, 9, 20, 30), np.int16)}, r"expected int16 \(2, 10, height, width\)"),
        ({"images": np.zeros((2, 10, 20, 30), np.float32)}, "images of Austria_1 are float32"),
        ({"labels": np.zeros((2, 20, 31), np.uint8)}, r"expected uint8 \(2, 20, 30\) of 0 and 1"),
        ({"labels": np.full((2, 20, 30), 255, np.uint8)}, "up to 255; expected"),
        ({"years": [2015, 2015]}, "each once"),
        ({"years": [15, 16]}, "such as 2015"),
        ({"years": [2015]}, "for 1 year"),
        ({"crs": "nowhere"}, "crs is 'nowhere'; expected a code"),
        ({"transform": [1.0, 2.0]}, "has 2 coefficients"),
    ],
)
def test_arguments_that_do_not_fit_write_nothing(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_site(tmp_path, "Austria_1", **(arrays() | change))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "__MACOSX"])
def test_a_name_that_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="expected the name of a folder"):
        write_site(tmp_path, name, **arrays())
