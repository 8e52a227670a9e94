"""Which image is of which year."""

import shutil

import pytest

from euromine.modeling import EuroMineImageProcessor
from euromine.monitoring.history.yearly_images import find_scenes, scenes_by_year
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.errors import ArgumentError, SceneError

from .site_images import PLAIN, YEARS, image_of, series_of, write_image


def test_a_year_is_found_in_a_files_name(tmp_path):
    names = {
        2015: "Year2015.tif",
        2016: "2016.tif",
        2017: "S2A1C_20170703_022_Barbellino_TOA_10.tif",
        2018: "mine_2018-08-01.TIF",
        2019: "year_2019.tiff",
    }
    for name in names.values():
        write_image(tmp_path / name, image_of(2015))
    assert {year: path.name for year, path in find_scenes(tmp_path).items()} == names


def test_maps_of_ours_among_the_images_are_passed_over(place, mapper, tmp_path):
    folder = shutil.copytree(place / "image", tmp_path / "image")
    series_of([mapper], folder, folder, smoothing="none", pairs="first-last", **PLAIN)
    assert list(find_scenes(folder)) == list(YEARS)


def test_maps_of_ours_beside_the_folder_of_images_are_passed_over(place, mapper, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(place / "image", folder / "image")
    series_of([mapper], folder, folder, smoothing="none", pairs="first-last", **PLAIN)
    assert {path.parent for path in find_scenes(folder).values()} == {folder / "image"}


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (lambda folder: None, r"mine: found no image; expected one GeoTIFF \(\.tif\) per year\."),
        (
            lambda folder: write_image(folder / "mine.tif", image_of(2015)),
            r"mine\.tif: found no year; expected one in the file's name, such as",
        ),
        (
            lambda folder: [
                write_image(folder / name, image_of(2015)) for name in ("2015.tif", "Year2015.tif")
            ],
            r"Year2015\.tif: found a second image of 2015 beside .*2015\.tif; expected one per year\.",
        ),
        (lambda folder: (folder / "2015.tif").write_bytes(b"no image"), r"2015\.tif: .*expected a GeoTIFF"),
        (
            lambda folder: folder.rmdir(),
            r"mine: found no such folder; expected a folder with one GeoTIFF per year\.",
        ),
    ],
)
def test_a_folder_without_a_series_is_refused_in_a_sentence(tmp_path, prepare, sentence):
    folder = tmp_path / "mine"
    folder.mkdir()
    prepare(folder)
    with pytest.raises(SceneError, match=sentence):
        find_scenes(folder)


def test_years_without_images_are_named(place):
    with pytest.raises(ArgumentError, match=r"years: found no image of 2001, 2002; expected at least one\."):
        find_scenes(place, [2001, 2002])
    with pytest.raises(ArgumentError, match=r"scenes: found no image; expected at least one\."):
        scenes_by_year([])


def test_an_image_of_other_bands_is_named(tmp_path):
    for year in YEARS:
        write_image(tmp_path / f"{year}.tif", image_of(year)[: 10 if year < 2018 else 4])
    bands = tuple(EuroMineImageProcessor().bands)
    options = SceneOptions(bands=bands, offset=0)
    with pytest.raises(SceneError, match=r"2018\.tif: .*4 bands.*10"):
        find_scenes(tmp_path, options=options)
