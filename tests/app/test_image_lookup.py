"""The image of a year is found by name, size and ground, and no other is taken for it."""

import shutil

import pytest
import rasterio

from euromine.app import image_lookup
from euromine.app.site_catalogue import SiteCatalogue

from .drawn_app import CRS, SITE, SITE_ID, TRANSFORM, YEARS, image_of, write_image


@pytest.fixture
def alone(app_folder, tmp_path):
    """The first site's series without its images."""
    shutil.copytree(app_folder / "sites" / SITE, tmp_path / "mines" / SITE)
    return tmp_path / "mines"


def test_each_year_has_its_image(series_site, second_site, app_folder) -> None:
    for year in YEARS:
        assert series_site.image(year) == app_folder / "images" / SITE / "image" / f"Year{year}.tif"
    assert series_site.image(2020) is None
    assert second_site.image(2020) is None


def test_images_are_found_in_a_folder_of_any_layout(alone, app_folder, tmp_path) -> None:
    other = tmp_path / "photos" / "all" / "pictures"
    other.mkdir(parents=True)
    for year in YEARS[:2]:
        shutil.copy2(app_folder / "images" / SITE / "image" / f"Year{year}.tif", other)
    place = SiteCatalogue(alone, tmp_path / "photos").place(SITE_ID)
    assert [place.image(year) for year in YEARS] == [
        *[other / f"Year{year}.tif" for year in YEARS[:2]],
        None,
        None,
    ]


def test_an_image_of_other_ground_is_not_taken(alone, tmp_path) -> None:
    path = tmp_path / "photos" / "Year2018.tif"
    elsewhere = rasterio.Affine(10, 0, TRANSFORM.c + 5000, 0, -10, TRANSFORM.f)
    write_image(path, image_of(2018), CRS, elsewhere)
    place = SiteCatalogue(alone, tmp_path / "photos").place(SITE_ID)
    assert path.stat().st_size == place.series.manifest.scenes[0].size
    assert place.image(2018) is None


def test_another_size_a_damaged_file_and_a_link_are_not_taken(alone, app_folder, tmp_path) -> None:
    source = app_folder / "images" / SITE / "image"
    photos = tmp_path / "photos" / SITE / "image"
    photos.mkdir(parents=True)
    (photos / "Year2018.tif").write_bytes((source / "Year2018.tif").read_bytes() + b" ")
    (photos / "Year2019.tif").write_bytes(b"\0" * (source / "Year2019.tif").stat().st_size)
    (photos / "Year2021.tif").symlink_to(source / "Year2021.tif")
    place = SiteCatalogue(alone, tmp_path / "photos").place(SITE_ID)
    assert [place.image(year) for year in YEARS] == [None] * 4


def test_an_image_that_comes_later_is_found_after_a_minute(alone, app_folder, tmp_path, monkeypatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(image_lookup.time, "monotonic", lambda: clock[0])
    (tmp_path / "photos" / "new").mkdir(parents=True)
    place = SiteCatalogue(alone, tmp_path / "photos").place(SITE_ID)
    assert place.image(2018) is None
    shutil.copy2(app_folder / "images" / SITE / "image" / "Year2018.tif", tmp_path / "photos" / "new")
    clock[0] += 61
    assert place.image(2018) == tmp_path / "photos" / "new" / "Year2018.tif"
