"""The report: what it says, what it shows, and that it needs nothing but itself."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageFile

from euromine.monitoring.reporting.page import render_report, write_report
from euromine.monitoring.result import SeriesResult
from euromine.support.errors import ArgumentError, MissingExtraError, one_line

from .html_page import Page
from .written_series import DASH, MINUS, YEARS, write_series


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
    assert (
        "Corrected for the errors that the model made at its validation sites, the estimate is 6.34 ha "
        f"(95% interval 5.18{DASH}7.49 ha)."
    ) in text
    # Won: 18 rows of 12 columns. Given up: 2 rows of 20 columns.
    assert (
        "Compared with 2015, the maps show 2.16 ha of newly mined ground and 0.40 ha that are no longer "
        "mined."
    ) in text


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
    assert "There is no image of 2017. Changes are mapped between years that have images." in text


def test_outlines_of_all_years_are_drawn(page):
    for year in YEARS:
        assert f'<g class="of-{year}"><path class="halo" d="M10 ' in page


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"simulated": True}, "The images of this series are simulated: this mine does not exist."),
        (
            {"settings": {"smoothing": "viterbi", "rates": None}},
            "A change that lasts a single year is usually treated as an error and removed",
        ),
        ({"interval": False}, "They have no interval, because no error counts are available"),
    ],
)
def test_what_limits_the_findings_is_said(tmp_path, fields, sentence):
    assert sentence in Page(render_report(SeriesResult(write_series(tmp_path / "series", **fields)))).text


def test_the_scores_of_the_model_are_told_with_where_they_come_from(page):
    assert "segformer-b0 was evaluated at 3 sites of the test split (of1 0.781)." in Page(page).text


def test_changes_alone_have_no_direction(tmp_path):
    result = SeriesResult(write_series(tmp_path / "series", mapper=False))
    text = Page(render_report(result)).text
    assert "Between 2015 and 2018, 2.56 ha are mapped as changed" in text
    assert "hectares gained" not in text


def test_the_file_appears_beside_the_series_or_where_it_is_asked_for(series, tmp_path):
    assert series.report() == series.path / "report.html"
    elsewhere = series.report(tmp_path / "other.html")
    assert elsewhere.read_bytes() == (series.path / "report.html").read_bytes()


def test_a_map_that_is_gone_is_named(tmp_path):
    folder = write_series(tmp_path / "series")
    (folder / "footprint_2016.tif").unlink()
    with pytest.raises(
        ValueError, match=r"footprint_2016\.tif: found no readable file .*; expected a GeoTIFF\."
    ):
        render_report(SeriesResult(folder))


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("missing/page.html", "page.html: found nothing at .*missing; expected an existing folder"),
        ("file/page.html", "page.html: found a file at .*file; expected an existing folder"),
        ("folder", "folder: found a folder; expected a file"),
        ("file", "file: found a file of another kind; expected an earlier one .* Pass --overwrite"),
        ("link", "link: found a file of another kind"),
    ],
)
def test_a_wrong_place_and_a_file_of_the_users_are_refused(series, tmp_path, place, found):
    (tmp_path / "file").write_text("<html>mine</html>")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ArgumentError, match=found):
        write_report(series, tmp_path / place)
    assert (tmp_path / "file").read_text() == "<html>mine</html>"
    assert not list(tmp_path.glob("_*"))


def test_an_earlier_report_is_replaced_and_another_file_if_asked_to(series, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("<html>mine</html>")
    page = write_report(series, path, overwrite=True).read_bytes()
    path.write_bytes(page + b"older")
    assert write_report(series, path).read_bytes() == page


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_place_that_cannot_be_written_to_is_named_as_the_user_knows_it(
    series, tmp_path, monkeypatch, number
):
    def refuse(path, data):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OSError, match="page") as caught:
        write_report(series, tmp_path / "page.html")
    assert one_line(caught.value) == f"{tmp_path / 'page.html'}: {os.strerror(number)}"


# PDF


def test_the_pdf_has_pages_with_the_same_words(series, tmp_path, caplog):
    pytest.importorskip("weasyprint")
    caplog.set_level("INFO")
    path = write_report(series, tmp_path / "report.pdf", pdf=True)
    assert path.read_bytes().startswith(b"%PDF-")
    write_report(series, path, pdf=True)  # replaces an earlier one
    path.write_bytes(path.read_bytes() + b"a note of the reader's")
    with pytest.raises(ArgumentError, match="found a file of another kind"):
        write_report(series, path, pdf=True)
    assert not [record for record in caplog.records if record.name.startswith("weasyprint")]
    if shutil.which("pdftotext"):
        text = subprocess.run(
            ["pdftotext", "-layout", path, "-"], capture_output=True, text=True, check=True
        ).stdout
        assert "5.76 ha" in text
        assert "2017: no image" in text


def test_a_pdf_leaves_pillow_as_strict_as_it_was(series, tmp_path, monkeypatch):
    pytest.importorskip("weasyprint")
    for name in [name for name in sys.modules if name.partition(".")[0] == "weasyprint"]:
        monkeypatch.delitem(sys.modules, name)  # it accepts truncated pictures from its first import on
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)
    write_report(series, tmp_path / "report.pdf", pdf=True)
    assert "weasyprint" in sys.modules
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_without_weasyprint_a_sentence_says_what_to_do(series, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(
        MissingExtraError, match=r"^pdf: found no working WeasyPrint .*Install euromine\[pdf\]"
    ):
        write_report(series, tmp_path / "report.pdf", pdf=True)
    assert not (tmp_path / "report.pdf").exists()


# A browser


def in_browser(page: str, folder: Path, width: int, script: str) -> Any:
    """The value of a script about the page, shown in a window of some width.

    The page itself runs no scripts: one around it looks inside.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium")
    escaped = page.replace("&", "&amp;").replace('"', "&quot;")
    around = folder / "around.html"
    around.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><iframe width="{width}" height="800" style="border:0" '
        f'srcdoc="{escaped}"></iframe><p id="found"></p><script>addEventListener("load", () => {{'
        'const page = document.querySelector("iframe").contentDocument.documentElement;'
        f"const found = (() => {{{script}}})();"
        'document.getElementById("found").textContent = JSON.stringify(found);});</script>',
        encoding="utf-8",
    )
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --window-size=1400,900 --dump-dom"
    )
    command = [chromium, *flags.split(), f"--user-data-dir={folder / 'profile'}", around.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    return json.loads(re.search(r'<p id="found">(.*?)</p>', dom, re.S)[1].replace("&quot;", '"'))


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_scrolls_down_only(page, tmp_path, width):
    script = """
        const wide = [...page.querySelectorAll("body *")].filter(
            each => !each.closest(".wide, .map, .picture")
                && each.getBoundingClientRect().right > page.clientWidth + 1
        ).map(each => each.className);
        const blank = [...page.querySelectorAll("img")].filter(each => each.complete && !each.naturalWidth);
        return {shown: page.clientWidth, scrolled: page.scrollWidth, wide, blank: blank.length};
    """
    found = in_browser(page, tmp_path, width, script)
    scroll_bar = 20
    assert width - scroll_bar <= found["shown"] <= width
    assert found == {"shown": found["shown"], "scrolled": found["shown"], "wide": [], "blank": 0}


def test_captions_are_read_without_scrolling_their_tables(page, tmp_path):
    script = """
        return [...page.querySelectorAll(".wide caption")].map(each => {
            const room = each.closest(".wide").getBoundingClientRect().right;
            return each.getBoundingClientRect().right <= room + 1;
        });
    """
    found = in_browser(page, tmp_path, 390, script)
    assert len(found) == 3
    assert all(found)


def test_a_box_hides_the_outline_of_its_year(page, tmp_path):
    script = """
        const shown = () => [...page.querySelectorAll("svg.over > g")].map(
            each => getComputedStyle(each).display !== "none"
        );
        const before = shown();
        page.querySelector("#show-2016").click();
        return [before, shown()];
    """
    assert in_browser(page, tmp_path, 1280, script) == [[True, True, True], [True, False, True]]
