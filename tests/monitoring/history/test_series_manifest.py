"""The manifest of a series that was made."""

import json
import os
import shutil

import numpy as np
import pytest
from shapely.geometry import box

from euromine.monitoring.history.series import make_series
from euromine.monitoring.history.series_settings import SeriesSettings
from euromine.monitoring.history.yearly_images import find_scenes
from euromine.monitoring.scenes.scene_options import SceneOptions

from .drawn_permits import outline, permits_of, written
from .site_images import (
    CRS,
    HEIGHT,
    ORIGIN,
    PLAIN,
    WIDTH,
    YEARS,
    image_of,
    series_of,
    write_image,
    write_site,
)


def test_the_manifest_names_what_made_the_series(made, place):
    manifest = made.manifest
    assert (manifest.site, manifest.crs, manifest.width, manifest.height) == ("Mine_7", CRS, WIDTH, HEIGHT)
    assert [scene.path for scene in manifest.scenes] == [f"Year{year}.tif" for year in YEARS]
    assert all("layout of the published archive" in scene.decisions[0] for scene in manifest.scenes)
    assert manifest.models[0].source == "runs/tiny-mapper"
    assert manifest.settings["smoothing"] == "none"
    assert not manifest.simulated
    assert str(place.parent) not in json.dumps(json.loads((made.path / "series.json").read_text()))


def test_doubts_about_an_image_are_recorded_and_do_not_undo_a_finished_series(mapper, tmp_path):
    folder = tmp_path / "Mine_1"
    write_image(
        folder / "image" / "Year2015.tif", image_of(2015) + 3000
    )  # as if 1000 had been added, and more
    first = series_of([mapper], folder, tmp_path / "out", **PLAIN)
    decisions = first.manifest.scenes[0].decisions
    assert len(decisions) == 2
    assert decisions[1].startswith("Almost no reflectance is below 0.1: ")
    again = series_of([mapper], folder, tmp_path / "out", **PLAIN)
    assert again.manifest == first.manifest


def test_permits_are_known_by_their_content(mapper, tmp_path):
    folder = write_site(tmp_path / "Mine_1")
    settings = {"smoothing": "none", **PLAIN}
    site = box(ORIGIN[0], ORIGIN[1] - 10 * HEIGHT, ORIGIN[0] + 10 * WIDTH, ORIGIN[1])

    def outside(path):
        found = series_of([mapper], folder, tmp_path / "out", permits=path, **settings).permits
        return found.loc[found["kind"] == "mined", "area_ha"].sum()

    whole = written(permits_of(site), made_folder(tmp_path / "a") / "permits.gpkg")
    none = written(permits_of(outline(0, 0, 1, 1)), made_folder(tmp_path / "b") / "permits.gpkg")
    os.utime(none, (1, 1))  # as from an archive: older than the series
    assert outside(whole) == 0
    assert outside(none) > 1
    # The same outlines elsewhere are the same series.
    same = made_folder(tmp_path / "c") / "permits.gpkg"
    shutil.copy(none, same)
    before = (tmp_path / "out" / "permits.csv").stat().st_mtime_ns
    assert outside(same) > 1
    assert (tmp_path / "out" / "permits.csv").stat().st_mtime_ns == before


def made_folder(path):
    path.mkdir()
    return path


@pytest.mark.parametrize(
    "options", [SceneOptions(nodata=1200), SceneOptions(scale=0.0002, offset=0), SceneOptions(offset=-500)]
)
def test_other_options_make_another_series(mapper, place, tmp_path, options):
    scenes = find_scenes(place)
    first = make_series([mapper], scenes, tmp_path, SeriesSettings(**PLAIN)).probability(2016)
    second = make_series([mapper], scenes, tmp_path, SeriesSettings(**PLAIN), options=options)
    assert not np.array_equal(second.probability(2016), first, equal_nan=True)


def test_another_name_of_the_site_makes_another_series(mapper, place, tmp_path):
    series_of([mapper], place, tmp_path, **PLAIN)
    assert set(series_of([mapper], place, tmp_path, site="Halde", **PLAIN).areas["site"]) == {"Halde"}
