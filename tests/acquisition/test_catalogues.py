"""The order in which catalogues are searched, and their answers."""

import pytest
import shapely

from euromine.acquisition import AcquisitionOptions, catalogues
from euromine.acquisition.acquisition_options import AcquisitionOptions as Options
from euromine.acquisition.catalogue_search import search_items
from euromine.acquisition.catalogues import Catalogue, optical_catalogues, radar_catalogue
from euromine.acquisition.ranged_files import RangedFile
from euromine.acquisition.scene_items import RefusedItemError
from euromine.acquisition.site_plans import plan_scenes, site_settings
from euromine.support.errors import ArgumentError, DataError

from .small_world import box_of

BOX = box_of(90, 80, 80, 60)


def test_the_newer_collection_comes_first_then_the_older_then_the_other_provider():
    assert [(one.name, one.collections) for one in optical_catalogues("earth-search", "L2A")] == [
        ("earth-search", ("sentinel-2-c1-l2a", "sentinel-2-l2a")),
        ("planetary-computer", ("sentinel-2-l2a",)),
    ]
    assert optical_catalogues("planetary-computer", "L2A")[0].name == "planetary-computer"
    assert radar_catalogue("earth-search").collections == ("sentinel-1-rtc",)
    assert [one.needs_signature for one in optical_catalogues("earth-search", "L2A")] == [False, True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"years": (2014, 2015)},
            "years: found 2014; expected 2015 or later, as Sentinel-2 began in June 2015",
        ),
        ({"years": ()}, "years: found none; expected at least one"),
        ({"years": (2021, 2021)}, "years: found 2021, 2021; expected at least one, each once"),
        ({"months": (0,)}, "months: found 0; expected months from 1 to 12"),
        ({"scenes": 0}, "scenes: found 0; expected a number from 1 to 64"),
        ({"fill": "zeros"}, "fill: found 'zeros'; expected least-cloudy or nodata"),
        ({"margin": -1.0}, "margin: found -1; expected metres from 0 to 50000"),
        ({"level": "l3"}, "level: found 'l3'; expected l1c or l2a"),
        ({"level": "l1c"}, "level: found l1c with earth-search, .* Give --catalogue the URL of a STAC API"),
        (
            {"catalogue": "usgs"},
            "catalogue: found 'usgs'; expected earth-search, planetary-computer, or the URL",
        ),
        ({"catalogue": "http://example.com"}, "that begins with https://"),
        ({"catalogue": "file:///etc"}, "that begins with https://"),
    ],
)
def test_options_that_do_not_fit_are_refused_at_once(changes, message):
    with pytest.raises(ArgumentError, match=message):
        AcquisitionOptions(**{"years": (2021,)} | changes).completed(None)


def test_a_year_that_one_provider_lacks_comes_from_the_next_with_a_note(world, serve, monkeypatch):
    world.add("20210710")
    first, second = serve([]), serve(world.items)
    chain = [
        Catalogue(name, one.address, ("sentinel-2-l2a",))
        for name, one in (("first", first), ("second", second))
    ]
    monkeypatch.setattr("euromine.acquisition.site_plans.optical_catalogues", lambda *_: chain)
    options = Options(years=(2021, 2022), catalogue=first.address, margin=0)
    settings = site_settings(shapely.box(*BOX), options.completed(None))
    plan = plan_scenes("Pit_1", settings, first.address, options, None)
    assert [item.catalogue for item in plan.items[2021]] == ["second"]
    assert plan.notes[2021] == ("2021: no scene in first; those of second are taken.",)
    assert plan.items[2022] == []
    assert plan.notes[2022] == ("2022: no scene of months 6,7,8 in first or second; the year is left out.",)


def test_searches_are_repeated_while_a_server_is_busy(world, serve):
    world.add("20210710")
    catalogue = serve(world.items)
    catalogue.failures = 3
    there = Catalogue("here", catalogue.address, ("sentinel-2-l2a",))
    assert len(search_items(there, shapely.box(*BOX), ("2021-06-01", "2021-08-31"))) == 1
    # Place and time alone: servers ignore, or trip over, other conditions.
    (asked,) = catalogue.searches
    assert asked["datetime"] == "2021-06-01T00:00:00Z/2021-08-31T23:59:59Z"
    assert set(asked) == {"collections", "intersects", "datetime", "limit"}
    catalogue.failures, catalogue.status = 99, 503
    with pytest.raises(
        OSError, match=r"does not answer as a STAC catalogue does \(RetryError\)\. Try again later"
    ):
        search_items(there, shapely.box(*BOX), ("2021-06-01", "2021-08-31"))


def test_a_catalogue_without_end_is_refused(world, serve, monkeypatch):
    monkeypatch.setattr("euromine.acquisition.catalogue_search._MOST_ITEMS", 2)
    for day in ("20210710", "20210711", "20210712"):
        world.add(day)
    there = Catalogue("here", serve(world.items).address, ("sentinel-2-l2a",))
    with pytest.raises(DataError, match="found more than 2 items from 2021-06-01 to 2021-08-31"):
        search_items(there, shapely.box(*BOX), ("2021-06-01", "2021-08-31"))


def test_only_the_public_network_and_the_users_own_host_may_be_asked_over_https():
    trusted = [
        "https://example.com/a.tif",
        "https://sentinel-cogs.s3.us-west-2.amazonaws.com/a.tif",
        "https://8.8.8.8/a.tif",
    ]
    assert all(catalogues.is_trusted(link, "earth-search.aws.element84.com") for link in trusted)
    refused = [
        "http://8.8.8.8/a",
        "https://169.254.169.254/meta",
        "https://localhost/a",
        "https://[::1]/a",
        "ftp://a.b",
    ]
    assert not any(catalogues.is_trusted(link, "example.com") for link in refused)
    assert catalogues.is_trusted("https://10.0.0.5/a", "10.0.0.5")
    assert not catalogues.is_trusted("http://10.0.0.5/a", "10.0.0.5")
    assert catalogues.is_trusted("http://127.0.0.1:1/a", "localhost")
    assert optical_catalogues("https://10.0.0.5/stac/", "L2A")[0].url == "https://10.0.0.5/stac"


def test_a_file_may_be_moved_but_not_to_this_machine(world):
    (world.folder / "a.tif").write_bytes(b"of some bytes")
    there = RangedFile("a B02", "a", f"{world.address}/a.tif", False)
    assert there.read(3, 4) == b"some"
    there._check_redirection(world.address, f"{world.address}/elsewhere.tif")
    there._link = "https://example.com/a.tif"
    there._check_redirection(there._link, "https://8.8.8.8/a.tif")
    with pytest.raises(
        RefusedItemError, match=r"a B02: found a redirection to 'http://127.0.0.1.*; expected the file"
    ):
        there._check_redirection(there._link, f"{world.address}/a.tif")
