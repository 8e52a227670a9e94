"""The report: what it says, what it shows, and that it needs nothing but itself."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas
import pyproj
import pytest
import rasterio
from PIL import Image

from euromine.monitoring.history.manifest import Manifest, ModelRecord, SceneRecord, read_manifest
from euromine.monitoring.reporting import drawings
from euromine.monitoring.reporting.cartography import MapFrame
from euromine.monitoring.reporting.page import render_report, write_report
from euromine.monitoring.result import SeriesResult

YEARS = [2015, 2016, 2018]
HEIGHT, WIDTH = 40, 60
TRANSFORM = (10.0, 0.0, 356040.0, 0.0, -10.0, 4835680.0)
CRS = "EPSG:32631"
AREA_COLUMNS = ["site", "year", "pixels", "area_ha", "adjusted_ha", "low_ha", "high_ha", "known_share"]
CHANGE_COLUMNS = ["site", "year_1", "year_2", "gain_ha", "loss_ha", "undirected_ha", "known_share"]
DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
VOID = {"img", "meta", "input", "br", "link"}


def footprint_of(year: int) -> np.ndarray:
    """A rectangle that wins 4 columns a year and from 2016 on leaves 2 rows; a pixel is 0.01 ha."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10 + 2 * (year > 2015) : 30, 10 : 30 + 4 * (year - 2015)] = 1
    return mask


def areas_of(year: int) -> float:
    rows, columns = 20 - 2 * (year > 2015), 20 + 4 * (year - 2015)
    return rows * columns / 100


def write_map(path: Path, values: np.ndarray, nodata: float) -> None:
    profile = {"driver": "GTiff", "count": 1, "height": HEIGHT, "width": WIDTH, "dtype": values.dtype}
    with rasterio.open(
        path, "w", crs=CRS, transform=rasterio.Affine(*TRANSFORM), nodata=nodata, **profile
    ) as file:
        file.write(values, 1)


def write_series(
    folder: Path, *, site: str = "Mine <A> & Söhne", mapper: bool = True, interval: bool = True, **fields
) -> Path:
    """A series' folder, written by hand with other libraries than the code under test."""
    folder.mkdir()
    maps = {year: footprint_of(year) for year in YEARS}
    areas, changes = [], []
    for year in YEARS:
        shade = np.random.default_rng(year).integers(60, 190, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        Image.fromarray(shade).save(folder / f"quicklook_{year}.png")
        area = areas_of(year)
        low, high = (0.9 * area, 1.3 * area) if interval else (None, None)
        areas.append((site, year, int(area * 100), area, 1.1 * area if interval else None, low, high, 1.0))
        if mapper:
            write_map(folder / f"footprint_{year}.tif", maps[year], 255)
    for first, second in combinations(YEARS, 2):
        gain = (maps[second] > maps[first]).astype(np.uint8)
        loss = (maps[second] < maps[first]).astype(np.uint8)
        codes = gain + 2 * loss if mapper else 3 * (gain | loss)
        write_map(folder / f"change_{first}_{second}.tif", codes.astype(np.uint8), 255)
        sums = [(codes == code).sum() / 100 for code in (1, 2, 3)]
        changes.append((site, first, second, *sums, 1.0))
    if mapper:
        pandas.DataFrame(
            areas,
            columns=AREA_COLUMNS,
        ).to_csv(folder / "areas.csv", index=False)
        stack = np.stack([maps[year] for year in YEARS])
        calendar = np.asarray(YEARS, np.uint16)[:, None, None]
        write_map(
            folder / "first_year.tif",
            np.where(stack.any(0), np.where(stack, calendar, 9999).min(0), 0).astype(np.uint16),
            65535,
        )
        write_map(folder / "last_year.tif", np.where(stack, calendar, 0).max(0).astype(np.uint16), 65535)
    pandas.DataFrame(changes, columns=CHANGE_COLUMNS).to_csv(folder / "changes.csv", index=False)
    model = ModelRecord(
        "footprints" if mapper else "changes",
        "runs/segformer-b0",
        "segformer",
        3_725_634,
        ["B04", "B03"],
        "0123abcd",
        scores={"of1": 0.781},
        scored_split="test",
        scored_sites=3,
    )
    scenes = [
        SceneRecord(
            year, f"Year{year}.tif", 1, 1, ["B04", "B03"], ["Offset 0."], CRS, "", 1.0, ["B04", "B03", "B02"]
        )
        for year in YEARS
    ]
    values = {
        "missing_years": [2017],
        "complete": True,
        "created": "2026-11-21T10:00:00+00:00",
        "settings": {"smoothing": "none", "threshold": 0.5},
        **fields,
    }
    Manifest(
        site, YEARS, list(combinations(YEARS, 2)), CRS, TRANSFORM, WIDTH, HEIGHT, [model], scenes, **values
    ).write(folder)
    return folder


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> SeriesResult:
    return SeriesResult(write_series(tmp_path_factory.mktemp("report") / "series"))


@pytest.fixture(scope="module")
def page(series) -> str:
    return render_report(series)


class Page(HTMLParser):
    """The elements of a page: (name, attributes, names of the elements around it)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), tuple(self._open)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), tuple(self._open)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if not {"style", "title"} & set(self._open):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


def test_every_element_is_closed_and_the_text_names_the_place_as_it_is(page):
    assert f"Mine history of Mine <A> & Söhne, 2015{DASH}2018" in Page(page).text


def test_nothing_outside_of_the_file_is_referred_to(page):
    for name, attributes, _ in Page(page).elements:
        assert name not in ("script", "link", "iframe", "object", "embed", "base"), name
        for attribute in ("src", "href", "srcset", "xlink:href", "data", "action", "poster"):
            value = attributes.get(attribute)
            assert value is None or value.startswith(("data:image/", "#")), value
    assert "url(" not in page
    assert "@import" not in page
    policy = next(a for n, a, _ in Page(page).elements if n == "meta" and "http-equiv" in a)
    assert policy["content"].startswith("default-src 'none'; img-src data:")


def test_a_screen_reader_finds_its_way(page):
    elements = Page(page).elements
    names = [name for name, _, _ in elements]
    assert dict(elements[names.index("html")][1])["lang"] == "en"
    assert names.count("h1") == names.count("main") == 1
    identifiers = [a["id"] for _, a, _ in elements if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    for name, attributes, around in elements:
        if name == "img":
            assert attributes["alt"]
        if name == "th":
            assert attributes["scope"] in ("row", "col")
        if name == "svg":
            assert attributes.get("aria-hidden") == "true" or attributes["aria-label"]
        if name == "input":
            assert "label" in around
        if name == "a":
            assert attributes["href"][1:] in identifiers


def test_the_areas_are_those_of_the_tables(page):
    text = Page(page).text
    assert "In 2018, 5.76 ha are mapped as mined" in text
    assert f"an estimated 6.34 ha (95 % interval 5.18{DASH}7.49)" in text
    # Won: 18 rows of 12 columns. Given up: 2 rows of 20 columns.
    assert "Since 2015, 2.16 ha were gained and 0.40 ha lost." in text


def test_the_matrix_shows_gains_above_and_losses_below_the_diagonal(page):
    body = re.search(r'<table class="matrix">.*?</table>', page, re.S)[0]
    rows = [
        re.findall(r"<td[^>]*>([^<]*)</td>", row)
        for row in re.findall(r"<tr>(.*?)</tr>", body.split("<tbody>")[1], re.S)
    ]
    assert rows == [
        ["·", "+0.72", "+2.16"],
        [f"{MINUS}0.40", "·", "+1.44"],
        [f"{MINUS}0.40", "0", "·"],
    ]


def test_a_year_without_an_image_keeps_its_place(page):
    text = Page(page).text
    assert "2017: no image" in text
    assert "There is no image of 2017; changes span the gap." in text


def test_outlines_of_all_years_are_drawn(page):
    for year in YEARS:
        assert f'<g class="of-{year}"><path class="halo" d="M10 ' in page


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"simulated": True}, "there is no such mine"),
        ({"settings": {"smoothing": "viterbi", "rates": None}}, "a change that lasts a single year"),
        ({"interval": False}, "without an interval"),
    ],
)
def test_what_limits_the_findings_is_said(tmp_path, fields, sentence):
    assert sentence in Page(render_report(SeriesResult(write_series(tmp_path / "series", **fields)))).text


def test_the_scores_of_the_model_are_told_with_where_they_come_from(page):
    assert "segformer-b0 was scored on 3 sites of its test split (of1 0.781)." in Page(page).text


def test_changes_alone_have_no_direction(tmp_path):
    result = SeriesResult(write_series(tmp_path / "series", mapper=False))
    text = Page(render_report(result)).text
    assert "Between 2015 and 2018, 2.56 ha changed" in text
    assert "hectares gained" not in text


def test_the_file_appears_beside_the_series_or_where_it_is_asked_for(series, tmp_path):
    assert series.report() == series.path / "report.html"
    elsewhere = series.report(tmp_path / "other.html")
    assert elsewhere.read_bytes() == (series.path / "report.html").read_bytes()


def test_a_folder_without_a_series_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"holds no series.json, a folder that `euromine series` made was"):
        SeriesResult(tmp_path)


def test_a_stopped_series_says_how_to_go_on(tmp_path):
    with pytest.raises(ValueError, match="a series that was stopped; run the same `euromine series` again"):
        SeriesResult(write_series(tmp_path / "series", complete=False))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is no JSON"),
        ("[]", "has no format 'euromine-series'"),
        ('{"format": "euromine-series", "version": 99}', "is of the version 99, 1 was expected"),
        ('{"format": "euromine-series", "version": 1}', "lacks or has other fields than a manifest"),
    ],
)
def test_a_manifest_that_is_none_is_named(tmp_path, text, sentence):
    (tmp_path / "series.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=sentence):
        read_manifest(tmp_path)


def test_a_manifest_comes_back_as_it_was_written(series, tmp_path):
    series.manifest.write(tmp_path)
    assert read_manifest(tmp_path) == series.manifest
    assert json.loads((tmp_path / "series.json").read_text(encoding="utf-8"))["version"] == 1


def test_a_map_that_is_gone_is_named(tmp_path):
    folder = write_series(tmp_path / "series")
    (folder / "footprint_2016.tif").unlink()
    with pytest.raises(ValueError, match=r"footprint_2016\.tif: cannot be read"):
        render_report(SeriesResult(folder))


# PDF


def test_the_pdf_has_pages_with_the_same_words(series, tmp_path):
    pytest.importorskip("weasyprint")
    path = write_report(series, tmp_path / "report.pdf", pdf=True)
    assert path.read_bytes().startswith(b"%PDF-")
    if shutil.which("pdftotext"):
        text = subprocess.run(
            ["pdftotext", "-layout", path, "-"], capture_output=True, text=True, check=True
        ).stdout
        assert "5.76 ha" in text
        assert "2017: no image" in text


def test_without_weasyprint_a_sentence_says_what_to_do(series, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(ImportError, match=r"a PDF needs WeasyPrint, .* install euromine\[pdf\]"):
        write_report(series, tmp_path / "report.pdf", pdf=True)
    assert not (tmp_path / "report.pdf").exists()


# A browser


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_scrolls_down_only(page, tmp_path, width):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium")
    # The page itself runs no scripts: one around it asks how wide it came out.
    escaped = page.replace("&", "&amp;").replace('"', "&quot;")
    around = tmp_path / "around.html"
    around.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><iframe width="{width}" height="800" style="border:0" '
        f'srcdoc="{escaped}"></iframe><p id="found"></p><script>addEventListener("load", () => {{'
        'const page = document.querySelector("iframe").contentDocument.documentElement;'
        'const wide = [...page.querySelectorAll("body *")].filter('
        'each => !each.closest(".wide, .map, .picture") && each.'
        "getBoundingClientRect().right > page.clientWidth + 1"
        ").map(each => each.className);"
        'const blank = [...page.querySelectorAll("img")].filter(each => each.complete && !each.naturalWidth);'
        'document.getElementById("found").textContent = JSON.stringify({shown: page.clientWidth,'
        "scrolled: page.scrollWidth, wide, blank: blank.length});});</script>",
        encoding="utf-8",
    )
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --window-size=1400,900 --dump-dom"
    )
    command = [chromium, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", around.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = json.loads(re.search(r'<p id="found">(.*?)</p>', dom, re.S)[1].replace("&quot;", '"'))
    scroll_bar = 20
    assert width - scroll_bar <= found["shown"] <= width
    assert found == {"shown": found["shown"], "scrolled": found["shown"], "wide": [], "blank": 0}


# What it is drawn with


def test_an_outline_encloses_just_the_pixels_of_its_mask():
    mask = np.random.default_rng(0).random((23, 31)) < 0.5
    path = drawings.outline_path(mask)
    # By hand: a pixel is inside if a ray to its right crosses the outline an odd number of times.
    inside = np.zeros_like(mask)
    for ring in path.rstrip("z").split("z"):
        start, *steps = re.findall(r"M-?\d+ -?\d+|[hv]-?\d+", ring)
        x, y = map(int, start[1:].split())
        begin = x
        for step in [*steps, None]:
            if step is None:
                assert x == begin or y == int(start[1:].split()[1])
                target = int(start[1:].split()[1])
                low, high = sorted((y, target))
                inside[low:high, :x] ^= True
            elif step[0] == "h":
                x += int(step[1:])
            else:
                low, high = sorted((y, y + int(step[1:])))
                inside[low:high, :x] ^= True
                y += int(step[1:])
    np.testing.assert_array_equal(inside, mask)


@pytest.mark.parametrize(
    ("value", "signed", "text"),
    [
        (0.004, False, "0"),
        (0.35, False, "0.35"),
        (12.34, True, "+12.3"),
        (-123.4, False, f"{MINUS}123"),
        (12345, False, "12\N{NARROW NO-BREAK SPACE}345"),
    ],
)
def test_hectares_have_the_digits_that_say_something(value, signed, text):
    assert drawings.number(value, signed) == text


def test_ticks_are_round_and_cover_the_values():
    assert drawings.nice_ticks(0, 123, 4) == [0, 50, 100, 150]
    np.testing.assert_allclose(drawings.nice_ticks(-0.3, 0.9, 4), [-0.5, 0, 0.5, 1])


FRAMES = {
    "utm": (CRS, TRANSFORM, 227, 246),
    "degrees": ("EPSG:4326", (9e-5, 0.0, 14.0, 0.0, -9e-5, 51.0), 300, 200),
    "rotated": ("EPSG:32633", (8.0, 6.0, 5e5, 6.0, -8.0, 5e6), 120, 80),
    "south": ("EPSG:32733", (20.0, 0.0, 4e5, 0.0, -20.0, 7e6), 50, 60),
}


@pytest.mark.parametrize("name", FRAMES)
def test_ground_lengths_and_north_are_those_of_the_ellipsoid(name):
    crs, transform, width, height = FRAMES[name]
    frame = MapFrame(crs, transform, width, height)
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    affine = rasterio.Affine(*transform)
    geod = pyproj.Geod(ellps="WGS84")

    def place(column, row):
        return to_degrees.transform(*(affine @ (column, row)))

    x, y = width / 2, height / 2
    _, _, across = geod.inv(*place(x - 5, y), *place(x + 5, y))
    _, _, down = geod.inv(*place(x, y - 5), *place(x, y + 5))
    assert frame.pixel_width == pytest.approx(across / 10, rel=1e-4)
    assert frame.pixel_height == pytest.approx(down / 10, rel=1e-4)
    bearing, _, _ = geod.inv(*place(x, y), *place(x, y - 1))
    assert frame.north == pytest.approx(-bearing, abs=0.05)
    assert frame.center == pytest.approx(place(x, y))


def test_the_scale_bar_is_round_and_fits():
    bar = MapFrame(*FRAMES["utm"]).scale_bar()
    assert bar.label == "500 m"
    assert bar.share == pytest.approx(500 / 2270, rel=1e-3)


def test_ticks_lie_at_round_coordinates():
    frame = MapFrame(*FRAMES["degrees"])
    assert [(tick.label, round(tick.position, 3)) for tick in frame.longitude_ticks(2)] == [
        ("14.00° E", 0.0),
        ("14.01° E", round(0.01 / 0.027, 3)),
        ("14.02° E", round(0.02 / 0.027, 3)),
    ]
