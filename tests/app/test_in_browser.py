import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from euromine.app.app_settings import AppSettings
from euromine.app.static_files import STATIC
from euromine.support.sentinel2_products import years_in_name
from euromine.watch.watch_state import WatchState

from .browser_pages import CHROMIUM, MISSING, NARROW, WIDE, AppPage, served_page
from .drawn_app import SECOND, SECOND_ID, SITE, SITE_ID, TIME, YEARS

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)

ATTACK = '<img src="x" onerror="window.attacked = true">'
SITE_VIEW = f"/sites/{SITE_ID}?year=2021&compare=2018&mode=swipe&show=footprints,permits"


@pytest.fixture(scope="module")
def folder(app_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the app's folder, as reviews change its watch: one alert runs a script, one is closed."""
    copy = Path(shutil.copytree(app_folder, tmp_path_factory.mktemp("browser") / "mines"))
    with WatchState(copy / "watch") as state, state.transaction():
        alert = next(each.alert for each in state.alerts() if each.alert.rule == "growth")
        state.put_alert(replace(alert, id="a" * 16, site=SECOND, sentence=ATTACK), TIME + timedelta(days=9))
        on_record = replace(alert, id="b" * 16, site=SECOND, status="confirmed")
        state.put_alert(on_record, TIME + timedelta(days=9))
    return copy


@pytest.fixture(scope="module")
def app_page(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppPage]:
    """One page for all views, on a server in a thread."""
    model = tmp_path_factory.mktemp("model")
    (model / "config.json").write_text(
        json.dumps({"model_type": "euromine_unet", "bands": ["B02", "B03", "B04"]})
    )
    settings = AppSettings(
        folder=folder, watch=folder / "watch.yaml", port=0, uploads=True, models=(str(model),)
    )
    with served_page(settings) as page:
        yield page


@pytest.fixture(autouse=True)
def _fresh(app_page: AppPage) -> None:
    app_page.forget()
    app_page.resize(WIDE)
    app_page.page.emulate_media(color_scheme="light")


@pytest.fixture(scope="module")
def alert(folder: Path) -> str:
    """The id of the alert outside the outlines given, which has pictures."""
    with WatchState(folder / "watch") as state:
        return next(each.alert.id for each in state.alerts() if each.alert.rule == "outside_permit")


@pytest.mark.parametrize("view", ["portfolio", "site", "second", "alerts", "alert", "report", "jobs"])
def test_a_view_works_in_both_widths_colours_and_languages(app_page: AppPage, alert: str, view: str) -> None:
    routes = {
        "portfolio": "/",
        "site": SITE_VIEW,
        "second": f"/sites/{SECOND_ID}",
        "alerts": "/alerts?status=all",
        "alert": f"/alerts?alert={alert}",
        "report": f"/sites/{SITE_ID}/report",
        "jobs": "/jobs",
    }
    page = app_page.visit(routes[view])
    heading = page.inner_text("h1")
    assert app_page.overflow() <= 0
    assert app_page.accessibility_findings() == []
    page.emulate_media(color_scheme="dark")
    assert app_page.accessibility_findings("color-contrast") == []
    # The choice of a language draws the view anew, at a phone's width.
    app_page.resize(NARROW)
    app_page.choose_language("de")
    assert page.locator("h1").count() == 1
    assert app_page.overflow() <= 0
    assert app_page.accessibility_findings() == []
    assert not untranslated(app_page.words())
    if view == "alert":
        assert page.inner_text(".finding").endswith("sind seit 2021 neu (Bild von 2022).")
    app_page.choose_language("en")
    assert page.inner_text("h1") == heading
    assert app_page.forget() == []


def untranslated(words: list[str]) -> list[str]:
    """Keys of texts that are shown in place of a text."""
    keys = json.loads((STATIC / "languages" / "en.json").read_text(encoding="utf-8"))
    spaces = "|".join(sorted({re.escape(key.partition(".")[0]) for key in keys}))
    key = re.compile(rf"(?:{spaces})\.[a-z_]+(?:\.[\w-]+)*")
    files = (".csv", ".gpkg", ".json", ".parquet", ".tif")
    return [each for each in words if key.fullmatch(each) and not each.endswith(files)]


def test_every_panel_of_a_site_is_free_of_barriers_and_of_missing_texts(app_page: AppPage) -> None:
    page = app_page.visit(SITE_VIEW)
    names = page.locator("[role=tab]").all_inner_texts()
    assert len(names) >= 8
    for number in range(len(names)):
        page.locator("[role=tab]").nth(number).click()
        app_page.settle()
        assert app_page.accessibility_findings(within=".site-panel") == [], names[number]
        assert not untranslated(app_page.words()), names[number]
    assert app_page.forget() == []


def test_the_keyboard_moves_years_swipe_and_map_and_reads_a_point(app_page: AppPage) -> None:
    page = app_page.visit(SITE_VIEW)
    page.focus("#year-slider")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile("year=2022"))
    page.focus("[role=slider].swipe")
    page.keyboard.press("Home")
    page.wait_for_url(re.compile("split=0.00"))
    page.focus(".site-map")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("point="))
    page.wait_for_selector(".reading .chart")
    assert app_page.forget() == []


def test_a_link_shows_the_same_view_again(app_page: AppPage) -> None:
    page = app_page.visit(SITE_VIEW)
    page.locator("[role=tab]").nth(1).click()
    page.select_option("select[data-name=layer]", "ndvi")
    page.wait_for_url(re.compile("layer=ndvi.*panel="))
    link = page.url
    shown = page.inner_text(".site-controls"), page.inner_text(".site-panel")
    app_page.visit(link.partition("#")[2])
    assert (page.inner_text(".site-controls"), page.inner_text(".site-panel")) == shown
    assert page.url == link


def test_names_sentences_and_comments_are_shown_as_text(app_page: AppPage, folder: Path) -> None:
    page = app_page.visit(f"/alerts?alert={'a' * 16}")
    details = page.locator(".alert-details")
    assert SECOND in details.locator("h2").inner_text()
    assert details.locator(".finding").inner_text() == ATTACK
    details.get_by_label("Your name").fill(ATTACK)
    details.get_by_label("Comment").fill(ATTACK)
    details.get_by_role("button", name="Reject").click()
    page.wait_for_selector(".reviews .comment")
    assert details.locator(".reviews .comment").inner_text() == ATTACK
    assert details.locator(".reviews").inner_text().count(ATTACK) == 2
    for route in ("/", f"/sites/{SECOND_ID}", f"/sites/{SECOND_ID}/report"):
        app_page.visit(route)
        assert SECOND in page.inner_text("main")
    assert page.evaluate("window.attacked") is None
    assert page.locator("img[src=x]").count() == 0
    assert app_page.forget() == []


def test_an_alert_is_reviewed_and_leaves_the_open_ones(app_page: AppPage, folder: Path) -> None:
    page = app_page.visit("/alerts?rule=growth")
    page.locator(".alert-item").filter(has_text=SITE).click()
    page.wait_for_url(re.compile("alert="))
    page.get_by_label("Your name").fill("")
    page.get_by_role("button", name="Reject").click()
    assert "name" in page.locator(".review-form .problem").inner_text()
    page.get_by_label("Your name").fill("B. Reviewer")
    page.get_by_label("Comment").fill("A field, not a pit.")
    page.get_by_role("button", name="Reject").click()
    page.wait_for_selector(".reviews .comment")
    assert page.locator(".alert-item").filter(has_text=SITE).count() == 0
    with WatchState(folder / "watch") as state:
        stored = next(
            each for each in state.alerts() if each.alert.rule == "growth" and each.alert.site == SITE
        )
    assert [(each["verdict"], each["name"], each["comment"]) for each in stored.reviews] == [
        ("rejected", "B. Reviewer", "A field, not a pit.")
    ]
    page.go_back()
    app_page.settle()
    assert page.locator(".alert-details article").count() == 0
    assert app_page.forget() == []


def test_the_list_holds_the_open_alerts_that_the_header_counts(app_page: AppPage) -> None:
    page = app_page.visit("/alerts")
    counted = page.evaluate("fetch('api/portfolio').then((answer) => answer.json())")["watch"]["open_alerts"]
    assert page.locator(".alert-item").count() == counted > 0
    page.get_by_label("Status").select_option("all")
    assert page.locator(".alert-item").count() > counted
    closed = page.locator(".alert-item").evaluate_all("all => all.map((item) => item.dataset.id)")[counted:]
    assert "b" * 16 in closed


def test_shapes_on_the_map_are_no_stops_of_the_tab_key(app_page: AppPage) -> None:
    for route in ("/", SITE_VIEW, "/alerts"):
        page = app_page.visit(route)
        shapes = page.locator("path.leaflet-interactive")
        assert shapes.count() > 0
        assert shapes.evaluate_all("all => all.every((shape) => shape.tabIndex === -1)"), route


def test_an_alert_shows_pictures_area_permit_test_and_model(app_page: AppPage, alert: str) -> None:
    page = app_page.visit(f"/alerts?alert={alert}")
    assert page.locator(".alert-pictures img").evaluate_all(
        "images => images.map((image) => image.naturalWidth > 0)"
    ) == [True, True]
    facts = page.inner_text(".alert-details .facts")
    assert "1.2 to 2.1" in facts
    assert "permits.gpkg@0123456789ab" in facts
    assert "@" in page.inner_text(".alert-details .codes >> nth=0")
    assert "illegal" not in page.content().lower()


def test_the_list_of_alerts_is_saved_as_csv(app_page: AppPage) -> None:
    page = app_page.visit("/alerts?status=all")
    with page.expect_download() as download:
        page.get_by_role("button", name="This list as CSV").click()
    lines = Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].startswith("id,site,rule,status")
    assert len(lines) == 1 + page.locator(".alert-item").count() == 6


def test_a_report_is_ordered_by_keyboard_previewed_and_kept(app_page: AppPage) -> None:
    page = app_page.visit(f"/sites/{SITE_ID}/report")
    page.get_by_label("Title").fill("Inspection of pit 7")
    first = page.locator(".report-sections li").first.get_attribute("data-name")
    page.locator(".report-sections li").first.locator("input[type=checkbox]").focus()
    page.keyboard.press("Alt+ArrowDown")
    assert page.locator(".report-sections li").nth(1).get_attribute("data-name") == first
    page.locator(".report-sections li").nth(1).locator("input[type=checkbox]").uncheck()
    page.get_by_role("button", name="Update preview").click()
    preview = page.frame_locator("iframe[name=report-preview]")
    preview.locator("h1", has_text="Inspection of pit 7").wait_for()
    assert preview.locator(f"#{first}").count() == 0
    page.reload()
    app_page.settle()
    assert page.get_by_label("Title").input_value() == "Inspection of pit 7"
    assert not page.locator(".report-sections li").nth(1).locator("input[type=checkbox]").is_checked()
    with page.expect_download() as download:
        page.get_by_role("button", name="HTML").click()
    assert "Inspection of pit 7" in Path(download.value.path()).read_text(encoding="utf-8")
    assert app_page.forget() == []


def test_a_view_that_the_server_no_longer_gives_says_so(app_page: AppPage) -> None:
    app_page.page.route("**/modules/jobs.js", lambda route: route.abort())
    try:
        page = app_page.visit("/jobs")
        assert "The server does not answer" in page.inner_text("main")
    finally:
        app_page.page.unroute("**/modules/jobs.js")
        app_page.forget()


def test_downloads_are_offered_with_sizes_and_can_be_fetched(app_page: AppPage) -> None:
    page = app_page.visit(f"{SITE_VIEW}&panel=downloads")
    page.wait_for_selector(".downloads-panel table")
    links = page.locator(".downloads-panel a[download]").evaluate_all(
        "links => links.map((link) => link.href)"
    )
    assert any("/map.png?" in link for link in links)
    assert any("/timelapse.gif?" in link for link in links)
    assert any(link.endswith("/files/areas.csv") for link in links)
    links = [link.replace("width=2000", "width=600") for link in links]
    statuses = page.evaluate(
        "links => Promise.all(links.map((link) => fetch(link).then((answer) => answer.status)))", links
    )
    assert statuses == [200] * len(links)


def test_a_smoothing_is_offered_only_where_the_model_takes_it(app_page: AppPage) -> None:
    page = app_page.visit("/jobs")
    script = """async (address) => {
      const { jobOptions } = await import(`${address}static/modules/job_options.js`);
      const options = jobOptions();
      const box = options.node.querySelector("select");
      const offered = (smoothings) => (options.fit({ smoothings }), [...box.options].map((one) => one.value));
      const all = offered(["viterbi", "median", "none"]);
      box.value = "viterbi";
      return [all, offered(["median", "none"]), options.values(), offered(["none"])];
    }"""
    all_of_them, without_viterbi, values, none = page.evaluate(script, app_page.address)
    assert all_of_them == ["", "viterbi", "median", "none"]
    assert without_viterbi == ["", "median", "none"]
    assert "smoothing" not in values, "the choice that does not fit stayed"
    assert none == ["", "none"]
    # The model of this app is not calibrated.
    assert page.locator(".upload-form option[value=viterbi]").count() == 0
    assert page.locator(".upload-form option[value=median]").count() == 1


def test_years_of_uploads_are_guessed_and_each_year_takes_one_image(app_page: AppPage) -> None:
    page = app_page.visit("/jobs")
    names = ["S2B_20190712_T33UVR.tif", "Year2017.tif", "mine.tif", "notes.txt"]
    page.set_input_files(
        "#upload-picker", [{"name": name, "mimeType": "image/tiff", "buffer": b"II*\0"} for name in names]
    )
    years = page.locator(".upload-files input[type=number]")
    assert [years.nth(number).input_value() for number in range(3)] == ["2017", "2019", ""]
    assert page.locator(".upload-files tbody tr").count() == 3
    years.nth(2).fill("2019")
    page.get_by_label("Name of the site").fill("Own mine")
    page.get_by_role("button", name="Upload and map").click()
    assert "2019" in page.locator(".upload-form .problem").inner_text()
    assert app_page.forget() == []


def test_the_years_of_the_slider_are_those_of_the_series(app_page: AppPage) -> None:
    page = app_page.visit(f"/sites/{SITE_ID}")
    assert page.locator("#year-slider").get_attribute("max") == str(len(YEARS) - 1)
    assert page.inner_text("output.year") == str(YEARS[-1])


def test_years_are_guessed_as_the_server_guesses_them(app_page: AppPage) -> None:
    names = [
        "Year2017.tif",
        "S2B_20190712_T33UVR.tif",
        "S2A_MSIL2A_20200801T101031_N0214_R022_T32TQM.tif",
        "mine_2018-2019.tif",
        "mine.tif",
        "201907.tif",
        "1850.tif",
        "pit 2021 (2).tif",
    ]
    page = app_page.visit("/")
    guess = f"""async (names) => {{
      const {{ guessedYear }} = await import("{app_page.address}static/modules/upload_years.js");
      return names.map(guessedYear);
    }}"""
    expected = [years_in_name(name.rpartition(".")[0]) for name in names]
    assert page.evaluate(guess, names) == [years[0] if len(years) == 1 else None for years in expected]


def test_csv_reads_back_and_holds_no_formulas(app_page: AppPage) -> None:
    texts = ["plain", 'a "quoted", cell', "two\r\nlines", "=1+1", "@x", "-2", "Süd"]
    page = app_page.visit("/")
    write = f"""async (texts) => {{
      const {{ csvText }} = await import("{app_page.address}static/modules/csv.js");
      return csvText([["text", (row) => row], ["number", () => -1.5], ["none", () => null]], texts);
    }}"""
    rows = list(csv.reader(io.StringIO(page.evaluate(write, texts), newline="")))
    assert rows[0] == ["text", "number", "none"]
    expected = [f"'{text}" if text[0] in "=@-" else text for text in texts]
    assert rows[1:] == [[text, "-1.5", ""] for text in expected]
