import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page
from starlette.testclient import TestClient

from euromine.app.app_settings import AppSettings
from euromine.monitoring.mapping.colours import FOOTPRINT_OUTLINE, hex_colour

from .browser_pages import CHROMIUM, MISSING, AppPage, served_page
from .drawn_app import SECOND, SITE, SITE_ID, YEARS

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)

FIRST_VIEW = 500_000
# Around the whole of the first site, in degrees.
AROUND = [[14.99, 46.03], [15.03, 46.03], [15.03, 46.07], [14.99, 46.07], [14.99, 46.03]]


@pytest.fixture(scope="module")
def app_page(app_folder: Path) -> Iterator[AppPage]:
    """One page for all tests, on a server in a thread."""
    settings = AppSettings(folder=app_folder, port=0)
    with served_page(settings) as page:
        yield page


@pytest.fixture
def requests(app_page: AppPage) -> Iterator[list[str]]:
    """The paths asked for, without pictures that the page itself holds."""
    found: list[str] = []

    def note(request: object) -> None:
        url = str(getattr(request, "url", ""))
        if url.startswith("http"):
            found.append(re.sub(r"^https?://[^/]+", "", url))

    app_page.page.on("request", note)
    yield found
    app_page.page.remove_listener("request", note)


def polygons(page: Page, pane: str) -> int:
    return page.locator(f".leaflet-{pane}-pane path").count()


def sides(page: Page, pane: str) -> tuple[float, float] | None:
    """The left and right end of the part of a pane that is shown."""
    path = page.locator(f".leaflet-{pane}-pane").evaluate("pane => pane.style.clipPath")
    ends = [float(each) for each in re.findall(r"(-?[\d.]+)px -?[\d.]+px", path)]
    return (min(ends), max(ends)) if ends else None


def test_the_first_view_is_light_and_loads_one_picture(app_page: AppPage, requests: list[str]) -> None:
    page = app_page.visit(f"/sites/{SITE_ID}")
    sizes = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.encodedBodySize)")
    assert 50_000 < sum(sizes) < FIRST_VIEW
    assert len([path for path in requests if "/pictures/" in path]) == 1
    assert len([path for path in requests if "/vectors/" in path]) == 1
    assert app_page.forget() == []


def test_a_year_that_the_site_has_not_is_named_until_another_is_chosen(app_page: AppPage) -> None:
    page = app_page.visit(f"/sites/{SITE_ID}?year=2016&compare=1999")
    assert page.inner_text(".map-status") == (
        f"This site has no maps of 2016, 1999. The year shown is {YEARS[-1]}."
    )
    page.focus("#year-slider")
    page.keyboard.press("ArrowLeft")
    app_page.settle()
    assert page.inner_text(".map-status") == ""
    app_page.visit(f"/sites/{SITE_ID}?year={YEARS[0]}")
    assert page.inner_text(".map-status") == ""


def test_footprints_have_the_colour_of_printed_maps_and_reports(app_page: AppPage) -> None:
    page = app_page.visit(f"/sites/{SITE_ID}")
    outline = page.locator(".leaflet-vectors-now-pane path").first
    assert outline.get_attribute("stroke") == hex_colour(FOOTPRINT_OUTLINE)


def test_going_back_to_a_year_asks_for_nothing(app_page: AppPage, requests: list[str]) -> None:
    page = app_page.visit(f"/sites/{SITE_ID}")
    page.focus("#year-slider")
    for _ in YEARS[1:]:
        page.keyboard.press("ArrowLeft")
        app_page.settle()
    assert page.inner_text("output.year") == str(YEARS[0])
    assert len([path for path in requests if "/pictures/" in path]) == len(YEARS)
    requests.clear()
    for year in YEARS[1:]:
        page.keyboard.press("ArrowRight")
        assert page.inner_text("output.year") == str(year)
    page.wait_for_url(re.compile(f"year={YEARS[-1]}"))
    app_page.settle()
    assert requests == []
    assert polygons(page, "vectors-now") == 2
    assert app_page.forget() == []


def test_play_shows_every_year_up_to_the_last(app_page: AppPage) -> None:
    page = app_page.visit(f"/sites/{SITE_ID}?year={YEARS[-2]}")
    page.get_by_role("button", name="Play the years").click()
    page.get_by_role("button", name="Stop").wait_for()
    page.wait_for_url(re.compile(f"year={YEARS[-1]}"))
    page.get_by_role("button", name="Play the years").wait_for()


def test_the_swipe_clips_pictures_and_outlines(app_page: AppPage) -> None:
    page = app_page.visit(f"/sites/{SITE_ID}?year=2022&compare=2018&mode=swipe")
    assert polygons(page, "vectors-before") == 2
    assert polygons(page, "vectors-now") == 2
    left, right = sides(page, "vectors-before"), sides(page, "vectors-now")
    assert left is not None
    assert right is not None
    assert left[1] == right[0]
    assert (sides(page, "picture-before"), sides(page, "picture-now")) == (left, right)
    handle = page.locator(".swipe")
    handle.focus()
    page.keyboard.press("PageUp")
    assert handle.get_attribute("aria-valuenow") == "60"
    assert "2018" in str(handle.get_attribute("aria-valuetext"))
    moved = sides(page, "vectors-now")
    assert moved is not None
    assert moved[0] > right[0]
    page.get_by_role("button", name="Off").click()
    app_page.settle()
    assert sides(page, "picture-now") is None
    assert polygons(page, "vectors-before") == 0
    assert app_page.forget() == []


def test_changes_between_any_two_years_are_drawn(app_page: AppPage, client: TestClient) -> None:
    page = app_page.visit(f"/sites/{SITE_ID}?year=2019&compare=2022&show=changes&panel=changes")
    expected = client.get(f"/api/sites/{SITE_ID}/vectors/changes/2019-2022.geojson").json()["features"]
    assert len(expected) > 1
    assert polygons(page, "vectors-changes") == len(expected)
    assert page.inner_text(".year-badge.right") == "2019 → 2022"
    assert page.get_by_role("heading", name="From 2019 to 2022").is_visible()


def test_an_uploaded_area_and_the_whole_view_give_the_mined_hectares(
    app_page: AppPage, client: TestClient
) -> None:
    page = app_page.visit(f"/sites/{SITE_ID}?panel=point")
    areas = client.get(f"/api/sites/{SITE_ID}").json()["areas"]
    collection = {"type": "Polygon", "coordinates": [AROUND]}

    def mined_in_table() -> list[str]:
        table = page.locator(".reading details.as-table").first
        table.wait_for()
        table.locator("summary").click()
        table.locator("tbody tr").first.wait_for()
        return table.locator("tbody tr td:nth-child(2)").all_inner_texts()

    page.set_input_files(
        "#area-file",
        {"name": "around.geojson", "mimeType": "application/json", "buffer": json.dumps(collection).encode()},
    )
    page.get_by_role("heading", name="around.geojson").wait_for()
    expected = [f"{row['area_ha']:.2f}" for row in areas]
    assert mined_in_table() == expected
    page.get_by_role("button", name=re.compile("Use the map.s view")).click()
    page.wait_for_url(re.compile("area="))
    page.get_by_role("heading", name="Area drawn").wait_for()
    app_page.settle()
    assert mined_in_table() == expected
    page.set_input_files(
        "#area-file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no geometry"}
    )
    page.get_by_text("notes.txt: found no GeoJSON").wait_for()
    assert app_page.forget() == []


def test_an_area_is_drawn_with_the_keyboard(app_page: AppPage) -> None:
    page = app_page.visit(f"/sites/{SITE_ID}?panel=point")
    page.get_by_role("button", name="Draw").click()
    for key in ("ArrowRight", "ArrowDown"):
        page.keyboard.press("Enter")
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Finish").click()
    page.wait_for_url(re.compile(r"area=(-?[\d.]+,){5}-?[\d.]+"))
    page.locator(".reading .chart").first.wait_for()
    assert app_page.forget() == []


def test_the_portfolio_sorts_searches_and_keeps_both_in_its_link(app_page: AppPage) -> None:
    page = app_page.visit("/")
    names = page.locator("tbody th a")
    assert names.all_inner_texts() == [SECOND, SITE]
    page.get_by_role("button", name="Mined area").click()
    assert names.all_inner_texts() == [SITE, SECOND]
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Mined area")
    page.get_by_label("Search").fill("süd")
    assert names.all_inner_texts() == [SECOND]
    assert page.locator("path.site-marker").count() == 1
    page.reload()
    app_page.settle()
    assert names.all_inner_texts() == [SECOND]
    assert page.locator("th[aria-sort=descending]").count() == 1
    names.first.click()
    page.locator("h1", has_text=SECOND).wait_for()
    assert app_page.forget() == []
