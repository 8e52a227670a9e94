"""From a place to its report: the order of the steps, the years kept, and the lines announced."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from euromine.acquisition import AcquiredSite, AcquisitionOptions
from euromine.modeling import EuroMineImageProcessor
from euromine.monitoring import MineMonitor, place_history
from euromine.monitoring.history.impact_settings import ImpactSettings
from euromine.monitoring.history.series_settings import SeriesSettings
from euromine.monitoring.place_history import map_place, map_places
from euromine.support.errors import ArgumentError, DataError

from .history.site_images import PLAIN, YEARS

SETTINGS = SeriesSettings(smoothing="none", pairs="consecutive", **PLAIN)


@pytest.fixture
def catalogue(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """A catalogue with scenes of `YEARS`, without a network; the years of each request."""
    requests = []

    def acquire_site(out, name, options, *, bbox=None, geometry=None, progress=False):
        requests.append(options.years)
        folder = Path(out) / "EuroMineNet" / name
        (folder / "image").mkdir(parents=True, exist_ok=True)
        made, kept, missing = [], [], []
        for year in options.years:
            file = folder / "image" / f"Year{year}.tif"
            (kept if file.exists() else made if year in YEARS else missing).append(year)
            if year in made:
                shutil.copy(place / "image" / file.name, file)
        made, kept, missing = map(tuple, (made, kept, missing))
        return AcquiredSite(
            name=name, folder=folder, made=made, kept=kept, missing=missing, radar=(), notes=()
        )

    monkeypatch.setattr(place_history, "acquire_site", acquire_site)
    return requests


def mapped(mapper, out: Path, *years: int, **options):
    lines: list[str] = []
    result = map_place(
        "Mine_7",
        MineMonitor([mapper]),
        out,
        AcquisitionOptions(years=years),
        bbox=(15, 47, 15.1, 47.1),
        settings=options.pop("settings", SETTINGS),
        announce=lines.append,
        **options,
    )
    return result, lines


def test_a_model_that_reads_radar_asks_for_it_before_anything_is_acquired(
    catalogue, mapper, tmp_path
) -> None:
    fusing = replace(mapper, image_processor=EuroMineImageProcessor(bands=("B04", "VV"), do_normalize=False))
    with pytest.raises(
        ArgumentError, match=r"found a model that reads radar; expected images with it.*--radar"
    ):
        mapped(fusing, tmp_path, 2015)
    assert not catalogue


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (SeriesSettings(smoothing="viterbi"), "smoothing: found 'viterbi' without switch rates beside"),
        (SeriesSettings(change_by="posterior"), "change_by: found 'posterior' without switch rates"),
        (
            SeriesSettings(change_probability=True),
            "change_probability: found it without changes by a network",
        ),
    ],
)
def test_settings_that_do_not_suit_the_model_are_refused_before_anything_is_acquired(
    settings, message, catalogue, mapper, tmp_path
) -> None:
    with pytest.raises(ArgumentError, match=message):
        mapped(mapper, tmp_path, 2015, 2016, settings=settings)
    assert not catalogue


def test_a_model_that_reads_radar_asks_for_it_at_each_site_of_a_file_before_the_first_is_acquired(
    mapper, tmp_path, monkeypatch
) -> None:
    acquired: list[Path] = []
    monkeypatch.setattr(place_history, "site_outcomes", lambda *_, **__: acquired.append(tmp_path) or [])
    fusing = replace(mapper, image_processor=EuroMineImageProcessor(bands=("B04", "VV"), do_normalize=False))
    sites = tmp_path / "sites.geojson"
    places = {"North": 15.0, "South": 15.5, "West": 14.0}
    features = [
        {
            "type": "Feature",
            "properties": {"name": name},
            "geometry": {"type": "Polygon", "coordinates": [[[x, 47], [x + 0.1, 47], [x, 47.1], [x, 47]]]},
        }
        for name, x in places.items()
    ]
    sites.write_text(json.dumps({"type": "FeatureCollection", "features": features}))

    def map_with(loaded, *, radar=False):
        options = AcquisitionOptions(years=(2015,), radar=radar)
        return map_places(sites, MineMonitor([loaded]), tmp_path, options, settings=SETTINGS)

    (tmp_path / "EuroMineNet" / "North" / "radar").mkdir(parents=True)
    with pytest.raises(
        ArgumentError,
        match=r"found a model that reads radar, and the site South and 1 site more without; expected images "
        r"with it\. Acquire it, too, with --radar\.",
    ):
        map_with(fusing)
    assert not acquired
    for name in ("South", "West"):
        (tmp_path / "EuroMineNet" / name / "radar").mkdir(parents=True)
    assert [map_with(fusing), map_with(mapper), map_with(fusing, radar=True)] == [[]] * 3
    assert len(acquired) == 3


def test_a_place_becomes_an_archive_maps_and_a_report(catalogue, mapper, tmp_path) -> None:
    result, lines = mapped(mapper, tmp_path, 2015, 2016, 2017)
    maps = tmp_path / "maps" / "Mine_7"
    assert (result.series.years, result.series.manifest.missing_years) == ([2015, 2016], [2017])
    assert (result.series.manifest.site, result.report) == ("Mine_7", maps / "report.html")
    assert "There is no image of 2017" in result.report.read_text(encoding="utf-8")
    assert lines == [
        f"1 of 3: composites of 2015 to 2017, into {tmp_path / 'EuroMineNet' / 'Mine_7'}",
        "        2015 and 2016 made; 2017 without scenes",
        f"2 of 3: maps of 2015 and 2016, into {maps}",
        f"3 of 3: report, {maps / 'report.html'}",
    ]


def test_a_file_of_the_users_is_refused_before_the_first_request(catalogue, mapper, tmp_path) -> None:
    page = tmp_path / "maps" / "Mine_7" / "report.html"
    page.parent.mkdir(parents=True)
    page.write_text("<html>mine</html>")
    with pytest.raises(ArgumentError, match=r"report\.html: found a file of another kind; .* Move it away"):
        mapped(mapper, tmp_path, 2015)
    assert (catalogue, page.read_text()) == ([], "<html>mine</html>")


def test_later_years_join_those_that_are_there(catalogue, mapper, tmp_path) -> None:
    mapped(mapper, tmp_path, 2015)
    first = tmp_path / "maps" / "Mine_7" / "probability_2015.tif"
    before = first.stat()
    result, lines = mapped(mapper, tmp_path, 2016)
    assert result.series.years == [2015, 2016]
    assert result.series.manifest.missing_years == []
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    _, lines = mapped(mapper, tmp_path, 2015, 2016)
    assert lines[1].strip() == "2015 and 2016 kept from an earlier run"


def test_ctrl_c_between_maps_loses_no_step(catalogue, mapper, tmp_path, monkeypatch) -> None:
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("euromine.monitoring.history.series.map_footprints", interrupted)
        with pytest.raises(KeyboardInterrupt):
            mapped(mapper, tmp_path, 2015, 2016)
    first = tmp_path / "maps" / "Mine_7" / "probability_2015.tif"
    before = first.stat().st_mtime_ns
    result, lines = mapped(mapper, tmp_path, 2015, 2016)
    assert "2015 and 2016 kept" in lines[1]
    assert result.report.is_file()
    assert first.stat().st_mtime_ns == before


def test_missing_permits_are_refused_before_anything_is_fetched(catalogue, mapper, tmp_path) -> None:
    pytest.importorskip("geopandas")
    settings = SeriesSettings(permits=tmp_path / "permits.gpkg")
    with pytest.raises(FileNotFoundError, match="there is no such file; expected the outlines of permits"):
        mapped(mapper, tmp_path, 2015, settings=settings)
    assert catalogue == []


def test_ground_that_is_not_there_is_refused_before_anything_is_acquired(catalogue, mapper, tmp_path) -> None:
    impact = ImpactSettings(land_cover=tmp_path / "own.tif")
    with pytest.raises(
        FileNotFoundError, match=r"own\.tif: there is no such file; expected a land-cover raster"
    ):
        mapped(mapper, tmp_path, 2015, settings=replace(SETTINGS, impact=impact))
    assert not catalogue


def test_nothing_is_mapped_where_nothing_was_acquired(mapper, tmp_path, monkeypatch) -> None:
    def acquire_site(*arguments, **options):
        raise DataError("Mine_7: found no scene; expected at least one.")

    monkeypatch.setattr(place_history, "acquire_site", acquire_site)
    with pytest.raises(DataError, match="found no scene"):
        mapped(mapper, tmp_path, 2015)
    assert list(tmp_path.iterdir()) == []
