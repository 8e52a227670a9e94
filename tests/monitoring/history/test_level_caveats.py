"""Images of another processing level than the models' are told with their years."""

from dataclasses import replace

import rasterio

from euromine.modeling import EuroMineImageProcessor
from euromine.monitoring.history.level_caveats import level_caveats, level_words
from euromine.monitoring.history.manifest import Manifest, ModelRecord, SceneRecord

from .site_images import PLAIN, series_of, write_site


def manifest_of(levels: dict[int, str | None], trained_on: str | None) -> Manifest:
    model = ModelRecord("footprints", "org/unet", "unet", 1, ["B04"], "01", level=trained_on)
    scenes = [
        SceneRecord(year, f"Year{year}.tif", 1, 1, ["B04"], [], "EPSG:32633", "", level=level)
        for year, level in levels.items()
    ]
    place = (10.0, 0.0, 0.0, 0.0, -10.0, 0.0)
    return Manifest("Mine", list(levels), [], "EPSG:32633", place, 1, 1, [model], scenes, {})


def test_images_of_another_level_are_told_with_their_years() -> None:
    levels = dict.fromkeys(range(2016, 2020), "L2A")
    (caveat,) = level_caveats(manifest_of(levels, "L1C"))
    assert caveat.startswith(
        "The images of 2016 to 2019 are L2A (surface reflectance), but org/unet was trained on L1C (top-of"
    )
    for trained_on in ("L2A", "mixed", None):
        assert level_caveats(manifest_of(levels, trained_on)) == []
    assert level_caveats(manifest_of({2016: None}, "L1C")) == []


def test_years_of_several_levels_are_told() -> None:
    manifest = manifest_of({2015: "L1C", 2016: "L1C", 2018: "L2A", 2019: None}, None)
    (caveat,) = level_caveats(manifest)
    assert "(2015 and 2016 L1C, 2018 L2A), so some of the change between" in caveat
    assert level_words(manifest) == "2015 and 2016 L1C, 2018 L2A, 2019 unknown"
    assert level_words(manifest_of({2015: "L2A"}, None)) == "L2A (surface reflectance)"
    assert level_words(manifest_of({2015: None}, None)) == "not recorded in the images"


def test_a_series_warns_and_records_its_levels(mapper, tmp_path, caplog) -> None:
    place = write_site(tmp_path / "Mine_7", years=(2015, 2016))
    for path in (place / "image").iterdir():
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(PROCESSING_LEVEL="L2A")
    model = replace(mapper, image_processor=EuroMineImageProcessor(level="L1C"))
    made = series_of([model], place, tmp_path / "maps", smoothing="none", pairs="first-last", **PLAIN)
    assert [scene.level for scene in made.manifest.scenes] == ["L2A", "L2A"]
    assert [record.level for record in made.manifest.models] == ["L1C"]
    assert "The images of 2015 and 2016 are L2A (surface reflectance), but runs/tiny-mapper" in caplog.text
    caplog.clear()
    series_of([model], place, tmp_path / "maps", smoothing="none", pairs="first-last", **PLAIN)
    assert caplog.text == "" or "holds this series already" in caplog.text
