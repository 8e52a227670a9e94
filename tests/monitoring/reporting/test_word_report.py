"""The report as a Word document, read back by the library that writes such documents."""

import io
import re
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pandas
import pytest
from PIL import Image

from euromine.monitoring.reporting.page import check_report, write_report
from euromine.monitoring.reporting.page_tree import page_tree
from euromine.monitoring.reporting.word_report import word_report
from euromine.monitoring.reporting.word_text import Words, background, words_of
from euromine.support.errors import ArgumentError, MissingExtraError

from .written_series import DASH, MINUS, YEARS

docx = pytest.importorskip("docx")
pytest.importorskip("resvg_py")

NOTES = """\
---
title: Inspection of the <northern> pit
author: A. Person
organisation: Mining & Water Office
logo: logo.png
sections: [areas, map, Conclusions, changes, years, caveats]
---
Seen in **May**, see [the act](https://example.org/act?a=1&b=2).

![x](https://example.org/pixel.png) <script>alert(1)</script> [y](javascript:alert(1)) [z](file:///etc/passwd)

1. One
2. Two

Then

1. Again

## areas
Not *new*.

| a | b |
|---|--:|
| 1 | 2 |

### A detail

## Conclusions
Visit it.
"""
# Shares of the ground: the maps are 60 columns by 40 rows of 10 m.
ASPECT = 60 / 40


@pytest.fixture(scope="module")
def notes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("notes")
    Image.new("RGB", (900, 300), "navy").save(folder / "logo.png")
    (folder / "notes.md").write_text(NOTES, encoding="utf-8")
    return folder / "notes.md"


@pytest.fixture(scope="module")
def path(series, notes, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("word") / "report.docx"
    return write_report(series, target, kind="docx", text=notes)


@pytest.fixture(scope="module")
def document(path):
    return docx.Document(path)


def cells_of(table) -> list[list[str]]:
    return [[cell.text.strip() for cell in row.cells] for row in table.rows]


def table_with(document, *header: str):
    (found,) = [each for each in document.tables if cells_of(each)[0] == list(header)]
    return found


def test_the_outline_follows_the_chosen_sections(document):
    headings = [
        (each.style.name, each.text)
        for each in document.paragraphs
        if each.style.name.startswith(("Heading", "Title"))
    ]
    assert headings == [
        ("Title", "Inspection of the <northern> pit"),
        ("Heading 1", "Areas by year"),
        ("Heading 2", "A detail"),
        ("Heading 1", "Map"),
        ("Heading 1", "Conclusions"),
        ("Heading 1", "Change between any two years"),
        ("Heading 1", "Years in pictures"),
        ("Heading 1", "Limitations"),
    ]


def test_the_properties_name_the_document_and_its_author(document, path):
    core = document.core_properties
    assert (core.title, core.author, core.language) == (
        "Inspection of the <northern> pit",
        "A. Person",
        "en-GB",
    )
    assert core.created.isoformat()[:19] == core.modified.isoformat()[:19] == "2026-11-21T10:00:00"
    with zipfile.ZipFile(path) as archive:
        root = ElementTree.fromstring(archive.read("docProps/app.xml"))
        styles = archive.read("word/styles.xml").decode()
        footer = archive.read("word/footer1.xml").decode()
    assert root.find("{*}Company").text == "Mining & Water Office"
    assert set(re.findall(r'<w:lang w:val="([^"]*)"', styles)) == {"en-GB"}
    assert re.findall(r'w:instr=" (\w+) "', footer) == ["PAGE", "NUMPAGES"]


def test_the_areas_are_those_of_the_csv(document, series):
    table = table_with(document, "Year", "Mined", "Estimate", "95% interval", "Gained", "Lost", "Data")
    rows = cells_of(table)[1:]
    areas = pandas.read_csv(series.path / "areas.csv")
    assert [int(row[0]) for row in rows] == YEARS
    assert [float(row[1]) for row in rows] == areas.area_ha.round(2).tolist()
    assert [float(row[2]) for row in rows] == areas.adjusted_ha.round(2).tolist()
    changes = pandas.read_csv(series.path / "changes.csv").set_index(["year_1", "year_2"])
    gained = [float(row[4]) for row in rows[1:]]
    assert gained == [changes.gain_ha[pair] for pair in ((2015, 2016), (2016, 2018))]
    marks = [row._tr.xpath("./w:trPr/w:tblHeader") for row in table.rows]
    assert [bool(mark) for mark in marks] == [True, False, False, False]


def test_the_matrix_keeps_its_signs_and_colours(document):
    table = table_with(document, "ha", "2015", "2016", "2018")
    assert cells_of(table)[1:] == [
        ["2015", "·", "+0.72", "+2.16"],
        ["2016", f"{MINUS}0.40", "·", "+1.44"],
        ["2018", f"{MINUS}0.40", "0", "·"],
    ]
    fills = [cell._tc.xpath("./w:tcPr/w:shd/@w:fill") for cell in table.rows[1].cells]
    assert fills[0] == []
    assert len({*map(tuple, fills)}) == 4  # none, the diagonal's, a pale and a strong one


def test_captions_are_numbered_by_word(document):
    body = document.element.body
    captions = [
        "".join(p.xpath(".//w:t/text()"))
        for p in body.iter("{*}p")
        if p.xpath('./w:pPr/w:pStyle[@w:val="Caption"]')
    ]
    assert [re.match(r"(\w+ \d)\. \S", caption)[1] for caption in captions] == [
        "Figure 1",
        "Figure 2",
        "Table 1",
        "Figure 3",
        "Figure 4",
        "Table 2",
    ]
    codes = body.xpath(".//w:fldSimple/@w:instr")
    assert [code.split()[1] for code in codes] == [caption.split()[0] for caption in captions]


def test_every_picture_has_a_text_alternative_and_keeps_its_aspect(document):
    shapes = [
        (
            frame.xpath("./wp:docPr/@descr")[0],
            int(frame.xpath("./wp:extent/@cx")[0]) / int(frame.xpath("./wp:extent/@cy")[0]),
            document.part.related_parts[frame.xpath(".//a:blip/@r:embed")[0]].blob,
        )
        for frame in document.element.body.xpath(".//wp:inline")
    ]
    alternatives = [alt for alt, _, _ in shapes]
    assert alternatives[0] == "Mining & Water Office"
    assert alternatives[1].startswith("Mined area by year. 2015: 4.00 ha")
    assert alternatives[3] == "Satellite image of 2018 with the outlines of the mapped footprints"
    assert [alt[:23] for alt in alternatives[5:]] == [f"Satellite image of {year}" for year in YEARS]
    assert len(alternatives) == 8
    for _, aspect, data in shapes:
        with Image.open(io.BytesIO(data)) as picture:
            assert aspect == pytest.approx(picture.width / picture.height, rel=0.01)
    assert shapes[0][1] == pytest.approx(3, rel=0.01)
    for _, aspect, _ in shapes[5:]:
        assert aspect == pytest.approx(ASPECT, rel=0.01)


def test_a_map_shows_the_image_below_its_outlines(document):
    frame = document.element.body.xpath(".//wp:inline")[-1]
    blob = document.part.related_parts[frame.xpath(".//a:blip/@r:embed")[0]].blob
    with Image.open(io.BytesIO(blob)) as picture:
        scale = picture.width / 60
        # The footprint of 2018 begins in column 10 and ends below row 29; its outline is #ff8c1a.
        near = picture.convert("RGB").getpixel((round(10 * scale), round(20 * scale)))
        far = {picture.convert("L").getpixel((round(x * scale), round(35 * scale))) for x in range(5, 55)}
    assert near[0] > 200
    assert near[2] < 130
    assert len(far) > 10


def test_the_only_addresses_outside_are_links_of_the_text(document, path):
    links = [rel.target_ref for rel in document.part.rels.values() if rel.is_external]
    # A picture is left out, as on the page, and its address is a link that nothing follows by itself.
    assert links == ["https://example.org/act?a=1&b=2", "https://example.org/pixel.png"]
    with zipfile.ZipFile(path) as archive:
        relations = {name: archive.read(name).decode() for name in archive.namelist() if ".rels" in name}
    assert [name for name, text in relations.items() if "External" in text] == [
        "word/_rels/document.xml.rels"
    ]
    assert "<script>alert(1)</script>" in "\n".join(each.text for each in document.paragraphs)


def test_numbered_lists_begin_anew(document):
    items = [each for each in document.paragraphs if each.style.name == "List Number"]
    assert [item.text for item in items] == ["One", "Two", "Again"]
    first, second, third = (item._p.pPr.numPr.numId.val for item in items)
    assert first == second != third


def test_the_facts_stand_beside_the_persons_text(document):
    text = "\n".join(each.text for each in document.paragraphs)
    assert f"Mine history of Mine <A> & Söhne, 2015{DASH}2018" in text
    assert "In 2018, 5.76 ha are mapped as mined" in text
    assert cells_of(table_with(document, "a", "b"))[1] == ["1", "2"]
    years = [cell for table in document.tables for row in cells_of(table) for cell in row]
    assert "2017: no image" in years


def test_the_same_series_and_text_give_the_same_bytes(series, notes, path):
    before = path.read_bytes()
    assert write_report(series, path, kind="docx", text=notes).read_bytes() == before


def test_an_edited_document_and_other_files_stay(series, path, tmp_path):
    edited = tmp_path / "edited.docx"
    document = docx.Document(path)
    document.add_paragraph("A note of the inspector's.")
    document.save(edited)
    (tmp_path / "other.docx").write_bytes(b"PK\x03\x04, which is no archive")
    with zipfile.ZipFile(tmp_path / "data.docx", "w") as archive:
        archive.writestr(zipfile.ZipInfo("data.txt", (1980, 1, 1, 0, 0, 0)), "mine")
    for name in ("edited.docx", "other.docx", "data.docx"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(ArgumentError, match=f"{name}: found a file of another kind"):
            write_report(series, tmp_path / name, kind="docx")
        assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize(("module", "library"), [("docx", "python-docx"), ("resvg_py", "resvg-py")])
def test_a_missing_library_is_named_with_its_extra(series, tmp_path, monkeypatch, module, library):
    monkeypatch.setitem(sys.modules, module, None)
    for call in (
        lambda: write_report(series, tmp_path / "report.docx", kind="docx"),
        lambda: check_report(tmp_path, kind="docx"),
    ):
        with pytest.raises(
            MissingExtraError, match=rf"^docx: found no {library} .*pip install 'euromine\[docx\]'\.$"
        ):
            call()
    assert not (tmp_path / "report.docx").exists()


def test_one_kind_is_written_at_a_time(series, tmp_path):
    with pytest.raises(ArgumentError, match=r"^docx: found pdf as well; expected one kind of report\."):
        write_report(series, tmp_path / "r", kind="docx", pdf=True)
    with pytest.raises(ArgumentError, match=r"^kind: found 'odt'; expected html, pdf, docx\.$"):
        write_report(series, tmp_path / "r", kind="odt")


def test_characters_that_xml_cannot_hold_are_left_out():
    page = "<html><title>Pit\x0b \x01East</title><body><p>a\x0cb &#12; c</p></body></html>"
    document = docx.Document(io.BytesIO(word_report(page)))
    assert document.core_properties.title == "Pit East"
    assert document.paragraphs[0].text == "ab c"


def test_white_space_and_looks_are_those_of_a_browser():
    node = page_tree('<p> a <b> b</b>\n c <code>d </code><br> e <a href="data:x">f</a> </p>')
    assert words_of(node) == [
        Words("a "),
        Words("b", bold=True),
        Words(" c "),
        Words("d ", code=True),
        Words("\n"),
        Words("e "),
        Words("f"),
    ]


@pytest.mark.parametrize(
    ("style", "colour"),
    [
        ("background: #1a2b3c; width: 1rem", "1A2B3C"),
        ("background: #fa0", "FFAA00"),
        ("background: rgba(0, 100, 255, 0.20)", "CCE0FF"),
        ("color: red", ""),
    ],
)
def test_backgrounds_are_blended_with_white_paper(style, colour):
    assert background(page_tree(f'<td style="{style}"></td>')) == colour
