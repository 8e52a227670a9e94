"""Listing the sites of an archive, in folders and zips."""

import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from euromine.dataset_script.archive import Archive
from euromine.support.errors import ArchiveError

from .sound_site import IMAGE, LABEL, open_site, refuse

Writer = Callable[..., Path]


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


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ArchiveError, match=r"nowhere: found nothing there; expected the archive, a folder or a zip"
    ):
        Archive(tmp_path / "nowhere")


def test_an_archive_without_a_site_is_refused(tmp_path: Path, site: Path) -> None:
    empty = tmp_path / "empty"
    (empty / "EuroMineNet" / "Austria_1").mkdir(parents=True)
    for path in (empty, empty / "EuroMineNet", site):
        with pytest.raises(ArchiveError, match=re.escape(f"{path}: found no site; expected folders such as")):
            Archive(path)


def test_two_archives_side_by_side_are_refused(tmp_path: Path, site: Path) -> None:
    site.parent.rename(tmp_path / "first")
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    with pytest.raises(
        ArchiveError, match=r"found sites in several folders \(first, second\); expected one archive"
    ):
        Archive(tmp_path)


def test_a_file_that_is_no_zip_or_a_torn_one_is_refused(tmp_path: Path, small_archive_zip: Path) -> None:
    for content in (b"text", small_archive_zip.read_bytes()[:-200]):
        (tmp_path / "torn.zip").write_bytes(content)
        with pytest.raises(ArchiveError, match=r"torn\.zip: found a file that is not a whole zip"):
            Archive(tmp_path / "torn.zip")


def test_an_encrypted_zip_is_refused(tmp_path: Path, small_archive_zip: Path) -> None:
    content = bytearray(small_archive_zip.read_bytes())
    entry = content.rfind(b"PK\x01\x02")  # a member in the zip's directory; its flags follow at byte 8
    content[entry + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(content)
    with pytest.raises(
        ArchiveError, match=r"locked\.zip: found 'EuroMineNet/.*' encrypted; expected a zip without"
    ):
        Archive(tmp_path / "locked.zip")


@pytest.mark.parametrize("kind", ["image", "label"])
def test_a_year_with_an_image_or_a_label_alone_is_refused(site: Path, kind: str) -> None:
    other = {"image": "label", "label": "image"}[kind]
    (site / other / "Year2016.tif").unlink()
    refuse(
        site, site / kind / "Year2016.tif", f"found no {other}", f"expected Austria_1/{other}/Year2016.tif"
    )


def test_an_empty_site_is_refused(site: Path) -> None:
    (site.parent / "Austria_2" / "image").mkdir(parents=True)
    refuse(site, site.parent / "Austria_2", "found no image", "image/Year2015.tif")


@pytest.mark.parametrize(
    "name", ["mosaic.tif", "Year15.tif", "Year20155.tif", "Year2015_v2.tif", "Year0000.tif"]
)
def test_a_file_name_that_is_no_year_is_refused(site: Path, name: str) -> None:
    (site / "image" / "Year2016.tif").rename(site / "image" / name)
    refuse(site, site / "image" / name, "found a name without a year", "Year2015.tif")


def test_two_files_of_the_same_year_are_refused(site: Path) -> None:
    shutil.copy(site / "label" / "Year2015.tif", site / "label" / "Label2015.tif")
    refuse(
        site,
        site / "label" / "Year2015.tif",
        "found a second file for 2015 beside",
        "Label2015.tif",
        "one file per year",
    )


def test_the_same_file_twice_in_a_zip_is_refused(tmp_path: Path, small_archive_zip: Path) -> None:
    path = Path(shutil.copy(small_archive_zip, tmp_path / "twice.zip"))
    name = "EuroMineNet/Austria_1/image/Year2015.tif"
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(name, b"other")
    with pytest.raises(ArchiveError, match=re.escape(f"{path}/{name}: found a second file for 2015 beside")):
        Archive(path)


def test_a_folder_that_cannot_be_listed_is_named(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def forbid(path: Any) -> Any:
        if Path(path) == site / "label":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbid)
    refuse(site, site / "label", "cannot be listed (Permission denied)")
