"""The app finds each series once, under an id that is safe in addresses."""

import json
import shutil

import pytest

from euromine.app import site_catalogue
from euromine.app.app_errors import NotFound
from euromine.app.site_catalogue import SiteCatalogue, slug
from euromine.support.errors import DataError

from .drawn_app import SECOND, SECOND_ID, SITE, SITE_ID


@pytest.fixture
def sites(app_folder, tmp_path):
    """The folder of the second site alone."""
    shutil.copytree(app_folder / "sites" / "second", tmp_path / "mines" / "a")
    return tmp_path / "mines"


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(site_catalogue, "_REFRESH_SECONDS", 0.0)


def test_sites_and_the_watch_are_found_with_their_names(catalogue, app_folder) -> None:
    assert {key: place.name for key, place in catalogue.places().items()} == {
        SECOND_ID: SECOND,
        SITE_ID: SITE,
    }
    assert catalogue.watch == app_folder / "watch"
    assert catalogue.problems == []
    assert catalogue.place(SITE_ID).series.path == app_folder / "sites" / SITE


@pytest.mark.parametrize("site", ["", "..", "../sites/Pit_7", "Pit_7/../Pit_7", "/etc/passwd", "pit_7"])
def test_only_ids_of_the_catalogue_are_known(catalogue, site) -> None:
    with pytest.raises(NotFound, match="expected an id of the portfolio"):
        catalogue.place(site)


def test_sites_of_one_name_are_told_apart_by_their_folder(sites, at_once) -> None:
    catalogue = SiteCatalogue(sites)
    shutil.copytree(sites / "a", sites / "old" / "b")
    found = {key: place.name for key, place in catalogue.places().items()}
    assert found == {SECOND_ID: SECOND, f"old-{SECOND_ID}": f"{SECOND} (old)"}


def test_damaged_and_unfinished_series_are_problems_and_hide_no_other(sites, at_once) -> None:
    catalogue = SiteCatalogue(sites)
    before = catalogue.place(SECOND_ID).version
    for name in ("b", "c"):
        shutil.copytree(sites / "a", sites / name)
    (sites / "b" / "series.json").write_text("{")
    manifest = json.loads((sites / "c" / "series.json").read_text())
    (sites / "c" / "series.json").write_text(json.dumps({**manifest, "complete": False}))
    assert list(catalogue.places()) == [SECOND_ID]
    damaged, unfinished = catalogue.problems
    assert "found damaged JSON" in damaged or "series.json" in damaged
    assert "found an unfinished series" in unfinished
    (sites / "c" / "series.json").write_text(json.dumps({**manifest, "site": "Mine 3"}))
    assert list(catalogue.places()) == [SECOND_ID, "Mine-3"]
    assert catalogue.place(SECOND_ID).version == before != catalogue.place("Mine-3").version


def test_a_watchs_own_maps_of_a_site_are_shown_where_there_are_no_others(sites) -> None:
    (sites / "watch").mkdir()
    (sites / "watch" / "watch.sqlite").touch()
    shutil.copytree(sites / "a", sites / "watch" / "maps" / "a")
    assert [place.series.path.parent.name for place in SiteCatalogue(sites).places().values()] == [sites.name]
    shutil.rmtree(sites / "a")
    assert [place.series.path.parent.name for place in SiteCatalogue(sites).places().values()] == ["maps"]


def test_series_too_deep_and_links_out_of_the_folder_are_not_shown(sites, app_folder) -> None:
    (sites / "link").symlink_to(app_folder / "sites", target_is_directory=True)
    (sites / "loop").symlink_to(sites, target_is_directory=True)
    deep = sites / "1" / "2" / "3" / "4" / "5"
    shutil.copytree(sites / "a", deep)
    shutil.copytree(sites / "a", sites / "_job" / "a")
    assert list(SiteCatalogue(sites).places()) == [SECOND_ID]


def test_folders_are_looked_through_again_only_after_two_seconds(sites, monkeypatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(site_catalogue.time, "monotonic", lambda: clock[0])
    catalogue = SiteCatalogue(sites)
    assert list(catalogue.places()) == [SECOND_ID]
    shutil.rmtree(sites / "a")
    clock[0] += 1.9
    assert list(catalogue.places()) == [SECOND_ID]
    clock[0] += 0.2
    assert list(catalogue.places()) == []


def test_a_folder_that_does_not_exist_is_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="found no folder"):
        SiteCatalogue(tmp_path / "none")


def test_ids_hold_letters_digits_and_dashes_alone() -> None:
    assert slug("Grube Süd / <b>2</b>") == "Grube-Sud-b-2-b"
    assert slug("../..") == "site"
    assert slug("鉱山") == "site"


def test_a_folder_that_is_a_series_itself_is_one_site(sites) -> None:
    catalogue = SiteCatalogue(sites / "a")
    assert list(catalogue.places()) == [SECOND_ID]
    assert catalogue.watch is None
