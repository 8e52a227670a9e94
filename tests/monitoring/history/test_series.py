"""A series from images to maps: all years on one grid, resumed where it was interrupted."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from rasterio import Affine
from rasterio.warp import transform

from euromine.monitoring.history import compared_changes, series_outputs, yearly_maps
from euromine.monitoring.mapping.engines import EngineChoice, on_engine
from euromine.monitoring.mapping.geotiffs import read_map_record
from euromine.monitoring.result import SeriesResult
from euromine.support.errors import ArgumentError, BusyError, RecordError, SceneError
from euromine.support.locks import lock_folder

from .site_images import (
    CRS,
    HEIGHT,
    ORIGIN,
    PLAIN,
    WIDTH,
    image_of,
    read,
    series_of,
    write_image,
    write_site,
)

# Grids


def test_years_of_other_extents_meet_where_all_reach(mapper, tmp_path):
    folder = tmp_path / "Mine_1" / "image"
    write_image(folder / "Year2015.tif", image_of(2015, 90, 120))
    write_image(folder / "Year2016.tif", image_of(2016, 90, 120)[:, 5:, 9:], left=9, top=5)
    write_image(folder / "Year2018.tif", image_of(2018, 90, 120)[:, :80, :110])
    settings = {"smoothing": "none", "window": 128, "overlap": 0}
    result = series_of([mapper], tmp_path / "Mine_1", tmp_path / "out", **settings)
    assert (result.manifest.height, result.manifest.width) == (75, 101)
    assert result.manifest.transform == (10, 0, ORIGIN[0] + 90, 0, -10, ORIGIN[1] - 50)
    assert all(scene.resampled == "" for scene in result.manifest.scenes)
    # Each year shows the same ground: cut by hand, it is mapped alike.
    alone = tmp_path / "Mine_2" / "image"
    write_image(alone / "Year2016.tif", image_of(2016, 90, 120)[:, 5:80, 9:110], left=9, top=5)
    other = series_of([mapper], tmp_path / "Mine_2", tmp_path / "other", **settings)
    np.testing.assert_array_equal(other.probability(2016), result.probability(2016))


@pytest.mark.parametrize("extent", ["intersection", "union"])
def test_a_smaller_year_is_named_and_the_union_keeps_the_ground(mapper, tmp_path, caplog, extent):
    folder = tmp_path / "Mine_1" / "image"
    write_image(folder / "Year2015.tif", image_of(2015))
    write_image(folder / "Year2016.tif", image_of(2016)[:, 8:24, :48], top=8)
    write_image(folder / "Year2018.tif", image_of(2018))
    settings = {"smoothing": "none", "extent": extent, **PLAIN}
    result = series_of([mapper], tmp_path / "Mine_1", tmp_path / "out", **settings)
    page = result.report().read_text(encoding="utf-8")
    told = "every year covers, 12% of that of all years together: 2016 (Year2016.tif) covers 12%."
    if extent == "intersection":  # 16 x 48 of 64 x 96 pixels are 12.5 %
        assert result.footprint(2015).shape == (16, 48)
        assert told in caplog.text
        assert told in page
        return
    assert "every year covers" not in caplog.text + page
    assert result.areas["known_share"].tolist() == pytest.approx([1, 0.125, 1], abs=1e-4)
    known = result.footprint(2016) != 255
    assert known[8:24, :48].all()
    assert known.sum() == 16 * 48
    write_site(tmp_path / "whole", [2015])
    alone = series_of([mapper], tmp_path / "whole", tmp_path / "alone", smoothing="none", **PLAIN)
    np.testing.assert_array_equal(result.probability(2015), alone.probability(2015))


def test_the_union_reaches_beyond_the_first_year(mapper, tmp_path):
    folder = tmp_path / "Mine_1" / "image"
    write_image(folder / "Year2015.tif", image_of(2015)[:, 8:24, :48], top=8)
    write_image(folder / "Year2016.tif", image_of(2016))
    settings = {"smoothing": "none", "extent": "union", **PLAIN}
    result = series_of([mapper], tmp_path / "Mine_1", tmp_path / "out", **settings)
    assert result.manifest.transform == (10, 0, ORIGIN[0], 0, -10, ORIGIN[1])
    assert result.areas["known_share"].tolist() == pytest.approx([0.125, 1], abs=1e-4)


def smooth_field(crs: str, affine: Affine, height: int, width: int) -> np.ndarray:
    """Digital numbers that follow longitude and latitude, in any coordinate system."""
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    a, b, c, d, e, f = affine[:6]
    longitudes, latitudes = transform(
        crs,
        "EPSG:4326",
        (a * columns + b * rows + c).ravel().tolist(),
        (d * columns + e * rows + f).ravel().tolist(),
    )
    waves = np.sin(np.asarray(longitudes) * 900) * 700 + np.cos(np.asarray(latitudes) * 1100) * 500
    return np.repeat((2000 + waves).reshape(1, height, width), 10, axis=0).round().astype(np.int16)


def test_a_year_in_another_coordinate_system_comes_to_the_first_ones_grid(mapper, tmp_path):
    folder = tmp_path / "Mine_1" / "image"
    affine = Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1])
    write_image(folder / "Year2015.tif", smooth_field(CRS, affine, 70, 90))
    (x,), (y,) = transform(CRS, "EPSG:32632", [ORIGIN[0] - 300], [ORIGIN[1] + 300])
    other = Affine(10, 0, x, 0, -10, y)
    write_image(
        folder / "Year2016.tif",
        smooth_field("EPSG:32632", other, 160, 190),
        crs="EPSG:32632",
        transform=other,
    )
    result = series_of([mapper], tmp_path / "Mine_1", tmp_path / "out", window=96, overlap=0)
    assert result.manifest.crs == CRS
    assert [scene.resampled for scene in result.manifest.scenes] == [
        "",
        "resampled bilinearly from EPSG:32632",
    ]
    # The same ground gives nearly the same image, so nearly the same answer.
    apart = abs(result.probability(2015) - result.probability(2016))
    assert np.nanmean(apart) < 0.02
    assert "The image of 2016 lies on a different grid and was resampled" in result.report().read_text(
        encoding="utf-8"
    )


def test_a_year_without_data_in_places_is_unknown_there(mapper, tmp_path):
    folder = tmp_path / "Mine_1" / "image"
    image = image_of(2016)
    image[:, :, :20] = -999
    write_image(folder / "Year2015.tif", image_of(2015))
    write_image(folder / "Year2016.tif", image, nodata=-999)
    result = series_of([mapper], tmp_path / "Mine_1", tmp_path / "out", smoothing="none", **PLAIN)
    assert (result.footprint(2016)[:, :20] == 255).all()
    assert (result.footprint(2016)[:, 20:] != 255).all()
    assert (result.change(2015, 2016)[:, :20] == 255).all()
    assert (result.first_year[:, :20] != 65535).all()
    assert result.manifest.scenes[1].known_share == pytest.approx(76 / 96)
    assert "2016 (79.2% has data)" in result.report().read_text(encoding="utf-8")


def test_a_year_that_is_all_clouds_is_named(mapper, tmp_path):
    folder = tmp_path / "Mine_1" / "image"
    write_image(folder / "Year2015.tif", image_of(2015))
    write_image(folder / "Year2016.tif", np.full((10, HEIGHT, WIDTH), -999, np.int16), nodata=-999)
    with pytest.raises(
        SceneError, match=r"Year2016\.tif: found only clouds or nodata where all years meet; exp"
    ):
        series_of([mapper], tmp_path / "Mine_1", tmp_path / "out", **PLAIN)


# Stopped and resumed


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix == ".tif"}


@pytest.mark.parametrize(
    ("module", "stopped_in"),
    [
        (yearly_maps, "predict_probability"),
        (yearly_maps, "smooth"),
        (compared_changes, "change_map"),
        (series_outputs, "PolygonTables"),
    ],
)
def test_an_interrupted_run_resumes_and_ends_alike(
    place, mapper, made, tmp_path, monkeypatch, module, stopped_in
):
    original, calls = getattr(module, stopped_in), []

    def interrupt(*args, **kwargs):
        calls.append(1)
        if len(calls) == (2 if stopped_in == "predict_probability" else 1):
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(module, stopped_in, interrupt)
    with pytest.raises(KeyboardInterrupt):
        series_of([mapper], place, tmp_path / "out", smoothing="none", **PLAIN)
    there = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tif")}
    assert "probability_2015.tif" in there
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    with pytest.raises(RecordError, match="found an unfinished series; expected a complete one"):
        SeriesResult(tmp_path / "out")
    monkeypatch.setattr(module, stopped_in, original)
    result = series_of([mapper], place, tmp_path / "out", smoothing="none", **PLAIN)
    assert contents(result.path) == contents(made.path)
    for name, modified in there.items():
        assert (result.path / name).stat().st_mtime_ns == modified, name


def test_a_finished_series_is_not_made_again(place, mapper, tmp_path, monkeypatch):
    settings = {"smoothing": "none", "pairs": "first-last", **PLAIN}
    series_of([mapper], place, tmp_path, **settings)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    monkeypatch.setattr(yearly_maps, "predict_probability", None)
    series_of([mapper], place, tmp_path, **settings)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_another_precision_is_another_making_and_is_noted(place, mapper, made, tmp_path):
    loaded = on_engine(mapper, EngineChoice("eager", "bfloat16"))
    result = series_of([loaded], place, tmp_path, smoothing="none", **PLAIN)
    used = {"engine": "eager", "precision": "bfloat16"}
    assert result.manifest.settings["engines"] == {"segmentation": used}
    assert read_map_record(tmp_path / "probability_2016.tif")["engine"] == used
    assert "engines" not in made.manifest.settings
    before = read(tmp_path / "probability_2016.tif")
    series_of([mapper], place, tmp_path, smoothing="none", **PLAIN)
    after, exact = read(tmp_path / "probability_2016.tif"), read(made.path / "probability_2016.tif")
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(after, exact)


def test_another_threshold_maps_anew_but_asks_the_network_nothing(place, mapper, tmp_path, monkeypatch):
    series_of([mapper], place, tmp_path, smoothing="none", **PLAIN)
    before = (read(tmp_path / "footprint_2016.tif") == 1).sum()
    monkeypatch.setattr(yearly_maps, "predict_probability", None)
    series_of([mapper], place, tmp_path, smoothing="none", threshold=0.9, **PLAIN)
    assert (read(tmp_path / "footprint_2016.tif") == 1).sum() < before


def test_an_image_cut_short_is_named_and_the_years_before_it_are_kept(mapper, tmp_path):
    folder = tmp_path / "mine" / "image"
    write_site(tmp_path / "mine")
    path = folder / "Year2018.tif"
    path.write_bytes(path.read_bytes()[:-40_000])
    with pytest.raises(SceneError, match=r"Year2018\.tif: found truncated or damaged data at rows"):
        series_of([mapper], tmp_path / "mine", tmp_path / "out", **PLAIN)
    names = [item.name for item in (tmp_path / "out").iterdir()]
    kept = ["probability_2015.tif", "probability_2016.tif", "quicklook_2015.png", "quicklook_2016.png"]
    assert sorted(names) == [*kept, "series.json"]


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(place, mapper, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "euromine.monitoring.mapping.geotiffs.shutil.disk_usage",
        lambda path: shutil._ntuple_diskusage(1, 1, 100),
    )
    with pytest.raises(OSError, match=r"no space left for .*probability_2015\.tif"):
        series_of([mapper], place, tmp_path / "out", **PLAIN)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["series.json"]


def test_a_folder_that_cannot_be_made_is_named(place, mapper, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ArgumentError, match=r"file: found a file; expected a folder"):
        series_of([mapper], place, tmp_path / "file" / "out")


def test_a_second_series_into_one_folder_is_refused_and_readers_are_not(place, mapper, tmp_path):
    out = tmp_path / "out"
    made = series_of([mapper], place, out, [2016], **PLAIN)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    with lock_folder(out):
        with pytest.raises(BusyError, match="out: found another run at work"):
            series_of([mapper], place, out, [2016], **PLAIN)
        assert SeriesResult(made.path).report().is_file()
    (out / "report.html").unlink()
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_what_a_killed_series_left_goes_even_when_it_is_complete_already(place, mapper, tmp_path):
    out = tmp_path / "out"
    series_of([mapper], place, out, [2016], **PLAIN)
    before = sorted(path.name for path in out.iterdir())
    for name in (".footprint_2016.tif.partial/rows.tif", ".footprints.gpkg.abc123/footprints.gpkg"):
        (out / name).parent.mkdir()
        (out / name).touch()
    (out / "_areas.csv.part").touch()
    series_of([mapper], place, out, [2016], **PLAIN)
    assert sorted(path.name for path in out.iterdir()) == before


def test_one_year_alone_has_footprints_and_no_change(place, mapper, tmp_path):
    result = series_of([mapper], place, tmp_path, [2016], **PLAIN)
    assert result.pairs == []
    assert result.changes.empty
    assert "2016" in result.report().read_text(encoding="utf-8")
