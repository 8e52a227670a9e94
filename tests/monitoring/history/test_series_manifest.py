"""The manifest of a series that was made."""

import json

from .site_images import CRS, HEIGHT, PLAIN, WIDTH, YEARS, image_of, series_of, write_image


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
