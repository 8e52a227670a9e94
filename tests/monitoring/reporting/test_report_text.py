"""A person's part of a report: what it may say, and what it cannot do."""

import base64
import io
import re
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from euromine.monitoring.reporting.page import render_report, write_report
from euromine.monitoring.reporting.report_text import read_report_text
from euromine.monitoring.reporting.sections import SECTIONS
from euromine.support.errors import ReportTextError

from .html_page import Page

KNOWN = {section.id: section.title for section in SECTIONS}
NOTES = """\
---
title: Inspection <2026>
author: A. Person
organisation: Mining & Water Office
sections: [caveats, areas, Conclusions, permits]
---
An *introduction*.

## Areas by year
The dump of 2018 is **not** new.

| a | b |
|---|---|
| 1 | 2 |

### A detail
## conclusions
Visit it.
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "notes.md"
    path.write_text(text, encoding="utf-8")
    return path


def headings(page: str) -> list[str]:
    return re.findall(r"<h2[^>]*>([^<]*)</h2>", page)


def test_title_author_comments_and_the_order_of_sections(series, tmp_path) -> None:
    page = write_report(series, tmp_path / "r.html", text=written(tmp_path, NOTES)).read_text()
    assert headings(page) == ["Limitations", "Areas by year", "Conclusions"]  # no permits were given
    text = Page(page).text
    assert "Inspection <2026>" in text
    assert "A. Person, Mining & Water Office" in text
    assert "Mine history of Mine" in text  # the facts stay beside the person's title
    assert "<em>introduction</em>" in page
    areas = page.split('id="areas"')[1].split("</section>")[0]
    assert "is <strong>not</strong> new" in areas
    assert "<h3>A detail</h3>" in areas
    assert "<td>1</td>" in areas
    assert "Visit it." in page.split('aria-labelledby="own-1-title"')[1]


def test_a_comment_on_a_section_without_content_is_not_lost(series, tmp_path) -> None:
    notes = written(tmp_path, "## permits\nNone were issued.\n")
    page = render_report(series, text=read_report_text(notes, KNOWN))
    assert "Outside the permits" in headings(page)
    assert "None were issued." in page


@pytest.mark.parametrize(
    "wicked",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![x](https://example.org/pixel.png)",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "[x](file:///etc/passwd)",
        "<javascript:alert(1)>",
        "[x]: vbscript:1\n\n[x]",
        '[x](https://example.org "a\\" onmouseover=alert(1) ")',
    ],
)
def test_a_text_can_neither_run_nor_load_anything(series, tmp_path, wicked) -> None:
    notes = written(
        tmp_path, f"---\ntitle: '{wicked.splitlines()[0][:90]}'\n---\n{wicked}\n\n## map\n{wicked}\n"
    )
    elements = Page(render_report(series, text=read_report_text(notes, KNOWN))).elements
    assert "script" not in [name for name, _, _ in elements]
    for _, attributes, _ in elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("src", "data:image/").startswith("data:image/")
        assert re.match(r"#|https://|data:image/", attributes.get("href", "#"))


def test_a_logo_is_drawn_anew(series, tmp_path) -> None:
    hidden = PngInfo()
    hidden.add_text("comment", "secret-place")
    Image.new("RGB", (900, 300), "navy").save(tmp_path / "logo.png", pnginfo=hidden)
    notes = written(tmp_path, "---\nlogo: logo.png\norganisation: Office\n---\n")
    page = render_report(series, text=read_report_text(notes, KNOWN))
    (logo,) = [found for found in Page(page).elements if found[1].get("class") == "logo"]
    data = base64.b64decode(logo[1]["src"].split(",")[1])
    assert b"secret-place" not in data
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (480, 160)
    assert logo[1]["alt"] == "Office"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "---\ntitel: x\n---\n",
            "found unknown field 'titel'; expected title, author, .* \\(did you mean title\\?\\)\\.",
        ),
        ("---\n- x\n---\n", "found no fields in the head; expected title"),
        ("---\n[\n---\n", "found no YAML in the head"),
        ("---\ntitle: 3\n---\n", "title: found '3'; expected text, at most 200 characters."),
        ("---\nsections: areas\n---\n", "sections: found 'areas'; expected a list of sections."),
        ("---\nsections: [area]\n---\n", "sections: found 'area'; expected areas, or another of map, years,"),
        ("---\nsections: [map, Map]\n---\n", "sections: found a section twice; expected each once."),
        (
            "## Aeras\nx\n",
            "found the heading '## Aeras', which is no section; .* \\(did you mean areas\\?\\)\\.",
        ),
        ("## map\nx\n## Map\ny\n", "found the heading '## Map' twice; expected it once."),
        ("---\nlogo: notes.md\n---\n", "found no picture that can be read"),
        ("\udc80", "found .*; expected UTF-8 text."),
    ],
)
def test_each_mistake_is_one_sentence(tmp_path, text, sentence) -> None:
    path = tmp_path / "notes.md"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ReportTextError, match=sentence) as caught:
        read_report_text(path, KNOWN)
    assert "\n" not in str(caught.value)


def test_files_that_are_absent_are_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"notes\.md: there is no such file"):
        read_report_text(tmp_path / "notes.md", KNOWN)
    with pytest.raises(FileNotFoundError, match=r"l\.png: there is no such file; expected the logo"):
        read_report_text(written(tmp_path, "---\nlogo: l.png\n---\n"), KNOWN)


def test_the_same_text_gives_the_same_bytes(series, tmp_path) -> None:
    notes = written(tmp_path, NOTES)
    first, second = (
        write_report(series, tmp_path / name, text=notes).read_bytes() for name in ("a.html", "b.html")
    )
    assert first == second
