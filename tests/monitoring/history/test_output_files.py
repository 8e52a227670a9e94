"""The user's own files in a series' folder stay, and damaged files of the series are made again."""

import json
import logging
import shutil
import sqlite3

import pytest

from euromine.monitoring.history.manifest import NAME
from euromine.monitoring.history.output_files import listed_files, remove_work_files
from euromine.support.errors import ArgumentError

from .drawn_permits import outline, permits_of, written
from .site_images import PLAIN, series_of

SETTINGS = {"smoothing": "none", "pairs": "first-last", **PLAIN}
# None is written by a series, though several patterns of its names fit.
OWN = ("footprints.shp", "footprints.qml", "quicklook_notes.png", "areas.xlsx", ".writable", "permits.gpkg")


@pytest.fixture
def finished(place, mapper, tmp_path):
    return series_of([mapper], place, tmp_path / "out", **SETTINGS).path


def test_a_users_files_stay_whatever_their_names(place, mapper, tmp_path):
    for name in OWN:
        (tmp_path / name).write_text("mine", encoding="utf-8")
    for threshold in (0.5, 0.4):
        series_of([mapper], place, tmp_path, threshold=threshold, **SETTINGS)
    assert {(tmp_path / name).read_text(encoding="utf-8") for name in OWN} == {"mine"}


def test_every_map_has_a_style_which_the_manifest_lists_and_a_user_may_change(place, mapper, finished):
    maps = {path.stem for path in finished.glob("*.tif")}
    assert {path.stem for path in finished.glob("*.qml")} == maps
    assert {f"{stem}.qml" for stem in maps} <= set(listed_files(finished))
    mine = finished / "footprint_2016.qml"
    mine.write_text("<qgis/>", encoding="utf-8")
    (finished / "footprint_2015.qml").unlink()
    series_of([mapper], place, finished, threshold=0.4, **SETTINGS)
    assert mine.read_text(encoding="utf-8") == "<qgis/>"
    assert (finished / "footprint_2015.qml").exists()
    assert "footprint_2016.qml" not in listed_files(finished)
    # A series without this year deletes its own files of it, not the user's.
    series_of([mapper], place, finished, [2015, 2018], **SETTINGS)
    assert sorted(path.name for path in finished.glob("*2016*")) == ["footprint_2016.qml"]


@pytest.mark.parametrize("name", ["areas.csv", "changes.csv", "changes.gpkg", "footprint_2016.tif", NAME])
def test_a_foreign_file_is_not_overwritten(place, mapper, tmp_path, name):
    (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises(ArgumentError, match=f"out: found {name} in .*, not listed by an earlier series; exp"):
        series_of([mapper], place, tmp_path, **SETTINGS)
    assert [(path.name, path.read_text(encoding="utf-8")) for path in tmp_path.iterdir()] == [(name, "mine")]


def test_permits_that_the_findings_would_overwrite_are_refused(place, mapper, tmp_path):
    path = written(permits_of(outline(0, 0, 9, 9)), tmp_path / "permits.gpkg")
    before = path.read_bytes()
    with pytest.raises(
        ArgumentError, match=r"out: found .*permits\.gpkg, an input that a result of the same"
    ):
        series_of([mapper], place, tmp_path, permits=path, **SETTINGS)
    assert path.read_bytes() == before


def test_results_of_an_earlier_series_are_no_permits_of_the_next(place, mapper, tmp_path):
    path = written(permits_of(outline(0, 0, 9, 9)), tmp_path / "granted.gpkg")
    series_of([mapper], place, tmp_path / "out", permits=path, **SETTINGS)
    outlines = tmp_path / "out" / "permit_outlines.gpkg"
    with pytest.raises(ArgumentError, match=r"out: found .*permit_outlines\.gpkg, an input"):
        series_of([mapper], place, tmp_path / "out", permits=outlines, threshold=0.4, **SETTINGS)
    assert outlines.exists()


def test_a_manifest_from_elsewhere_names_only_files_of_a_series(tmp_path):
    files = {
        "../thesis.gpkg": "",
        "notes.txt": "",
        "areas.csv": 3,
        "footprints.shp": "",
        "changes.gpkg": "ab",
    }
    (tmp_path / NAME).write_text(json.dumps({"format": "euromine-series", "files": files}), encoding="utf-8")
    assert listed_files(tmp_path) == {"areas.csv": "", "changes.gpkg": "ab", NAME: ""}
    for text in ("[]", '{"format": "other"}', "{", '{"format": "euromine-series", "files": 3}'):
        (tmp_path / NAME).write_text(text, encoding="utf-8")
        assert set(listed_files(tmp_path)) <= {NAME}


@pytest.mark.parametrize("name", ["footprint_2016.tif", "areas.csv", "footprints.gpkg", "changes.parquet"])
@pytest.mark.parametrize("damage", ["deleted", "emptied", "cut"])
def test_what_was_damaged_is_made_again(place, mapper, finished, caplog, name, damage):
    path = finished / name
    whole = path.read_bytes()
    if damage == "deleted":
        path.unlink()
    else:
        path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"")
    with caplog.at_level(logging.WARNING):
        series_of([mapper], place, finished, **SETTINGS)
    assert f"{name} is missing or was changed" in caplog.text
    # SQLite writes the time into a GeoPackage.
    assert path.suffix == ".gpkg" or path.read_bytes() == whole
    assert path.stat().st_size == len(whole)


def test_a_damaged_map_is_made_again_under_other_settings(place, mapper, finished):
    path = finished / "probability_2016.tif"
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    series_of([mapper], place, finished, threshold=0.4, **SETTINGS)
    assert path.read_bytes() == whole


def test_a_geopackage_that_a_gis_has_opened_is_no_damage(place, mapper, finished):
    path = finished / "footprints.gpkg"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE layer_styles (name TEXT)")
    database.close()
    edited = path.read_bytes()
    series_of([mapper], place, finished, **SETTINGS)
    assert path.read_bytes() == edited


def test_a_geopackage_that_is_open_elsewhere_is_named_before_the_work(place, mapper, finished):
    database = sqlite3.connect(finished / "footprints.gpkg")
    database.execute("PRAGMA journal_mode=wal")
    database.execute("CREATE TABLE layer_styles (name TEXT)")
    database.commit()
    before = {path.name: path.stat().st_mtime_ns for path in finished.glob("*.[tc]*")}
    with pytest.raises(OSError, match=r"footprints\.gpkg is open in another program.*footprints\.gpkg-wal"):
        series_of([mapper], place, finished, threshold=0.4, **SETTINGS)
    assert {path.name: path.stat().st_mtime_ns for path in finished.glob("*.[tc]*")} == before
    database.close()
    series_of([mapper], place, finished, threshold=0.4, **SETTINGS)


def test_what_a_killed_run_left_goes_and_nothing_else(tmp_path):
    ours = (".footprint_2016.tif.partial", ".changes.gpkg.a1b2c3d4")
    others = (".cache", ".scan.tif.partial", ".footprints.shp.a1b2c3d4", "notes.partial")
    for name in (*ours, *others):
        (tmp_path / name).mkdir()
    (tmp_path / "_areas.csv.part").touch()
    (tmp_path / "_notes.txt.part").touch()
    (tmp_path / ".footprint_2018.tif.partial").symlink_to(tmp_path / "notes.partial")
    remove_work_files(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {*others, "_notes.txt.part", ".footprint_2018.tif.partial"}


def test_a_copied_folder_is_the_same_series(place, mapper, finished, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.setattr("euromine.monitoring.history.series._make", None)
    series_of([mapper], place, tmp_path / "copy", **SETTINGS)
