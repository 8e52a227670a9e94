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


def test_a_name_with_several_years_asks_for_the_right_one(tmp_path):
    for name in ("S2_20210715_T33_2021_10m.tif", "site12_2019.tif", "2019-2020_mosaic.tif"):
        write_image(tmp_path / name, image_of(2015))
    with pytest.raises(
        SceneError, match=r"found the years 2019 and 2020 in its name; .* --year-of 2019-2020_mo"
    ):
        find_scenes(tmp_path)
    found = find_scenes(tmp_path, year_of={"2019-2020_mosaic.tif": 2020})
    assert {year: path.name for year, path in found.items()} == {
        2019: "site12_2019.tif",
        2020: "2019-2020_mosaic.tif",
        2021: "S2_20210715_T33_2021_10m.tif",
    }
    with pytest.raises(ArgumentError, match=r"year_of: found other.tif, none of the images"):
        find_scenes(tmp_path, year_of={"2019-2020_mosaic.tif": 2020, "other.tif": 2021})


def test_other_metadata_decide_between_the_years_of_a_name(tmp_path):
    path = write_image(tmp_path / "2019-2020_mosaic.tif", image_of(2015))
    path.with_suffix(".json").write_text(
        '{"type": "Feature", "properties": {"datetime": "2020-07-01T10:00:00Z"}, "assets": {}}'
    )
    assert list(find_scenes(tmp_path)) == [2020]
    path.with_suffix(".json").write_text(
        '{"type": "Feature", "properties": {"datetime": "2022-07-01T10:00:00Z"}, "assets": {}}'
    )
    with pytest.raises(SceneError, match="found the years 2019 and 2020 in its name"):
        find_scenes(tmp_path)


def test_scenes_of_all_formats_are_found_and_the_parts_of_a_vrt_are_not(tmp_path, products):
    write_image(tmp_path / "2015.tif", image_of(2015))
    products.write_l2a(tmp_path, products.product_numbers())
    older = "S2B_MSIL2A_20210226T095029_N0400_R079_T33TWN_20220226T130213.SAFE"
    numbers = products.product_numbers()
    shutil.move(products.zipped(products.write_l2a(tmp_path / "x", numbers, name=older, year=2021)), tmp_path)
    shutil.rmtree(tmp_path / "x")
    for band in EuroMineImageProcessor().bands:
        write_image(tmp_path / f"part_{band}.tif", image_of(2015)[:1])
    parts = "".join(
        f'<VRTRasterBand dataType="Int16" band="{place}"><SimpleSource><SourceFilename relativeToVRT="1">'
        f"part_{band}.tif</SourceFilename></SimpleSource></VRTRasterBand>"
        for place, band in enumerate(EuroMineImageProcessor().bands, 1)
    )
    (tmp_path / "2018.vrt").write_text(
        '<VRTDataset rasterXSize="96" rasterYSize="64"><SRS>EPSG:32633</SRS>'
        f"<GeoTransform>500000,10,0,5100000,0,-10</GeoTransform>{parts}</VRTDataset>"
    )
    (tmp_path / "permits.zip").write_bytes(b"PK")
    assert {year: path.suffix for year, path in find_scenes(tmp_path).items()} == {
        2015: ".tif",
        2018: ".vrt",
        2021: ".zip",
        2022: ".SAFE",
    }


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
        (lambda folder: None, r"mine: found no image; expected one per year \(\.tif, \.jp2"),
        (
            lambda folder: [
                (folder / "EuroMineNet" / site / "image").mkdir(parents=True) for site in ("B_1", "A_1")
            ],
            r"mine: found an archive of sites; .* such as .*EuroMineNet/A_1\. Name .* with --each-site\.",
        ),
        (
            lambda folder: write_image(folder / "mine.tif", image_of(2015)),
            r"mine\.tif: found no year; expected one in its name, .* --year-of mine\.tif=2015",
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
            r"mine: found no such folder; expected a folder with one image per year\.",
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
