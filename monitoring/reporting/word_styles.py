"""The look of the report in Word: page, styles, fields and the properties of the document."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from euromine.support.errors import missing_extra

LANGUAGE = "en-GB"
APPLICATION = "EuroMine"
# A4 with these margins, in millimetres.
PAGE_WIDTH, PAGE_HEIGHT = 210.0, 297.0
MARGIN_X, MARGIN_Y = 19.0, 18.0
TEXT_WIDTH = PAGE_WIDTH - 2 * MARGIN_X
MUTED, RULE, SHADE, LINK = "444C57", "C9CED6", "F2F3F5", "1F4E9E"
_INK, _FONT = "1D2430", "Arial"
_WARNING, _WARNING_RULE = "FFF4D6", "D9A400"
_NAMESPACE = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
# A zip cannot be older: every part has this date, so that the same report has the same bytes.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_APP = "docProps/app.xml"
# The largest properties and parts that are looked at.
_LONGEST_PROPERTY, _LARGEST_APP = 255, 2**16

# Name, the style that it is based on, size in points, colour, bold, space before and after in points.
_STYLES = (
    ("Normal", "", 10, _INK, False, 0, 6),
    ("Title", "", 22, _INK, True, 0, 4),
    ("Heading 1", "", 15, _INK, True, 18, 6),
    ("Heading 2", "", 11.5, _INK, True, 12, 4),
    ("Heading 3", "", 10.5, _INK, True, 10, 3),
    ("Heading 4", "", 10, MUTED, True, 8, 3),
    ("Subtitle", "", 10, MUTED, False, 0, 4),
    ("Caption", "", 8.5, MUTED, False, 2, 8),
    ("List Bullet", "", 10, _INK, False, 0, 4),
    ("Footer", "", 8.5, MUTED, False, 0, 0),
    ("Report Byline", "Normal", 10, _INK, True, 0, 4),
    ("Report Lead", "Normal", 11.5, _INK, False, 8, 8),
    ("Report Note", "Normal", 8.5, MUTED, False, 2, 6),
    ("Report Warning", "Normal", 9.5, _INK, False, 6, 6),
    ("Report Figure", "Normal", 10, _INK, False, 4, 2),
    ("Report Figure Title", "Normal", 10, _INK, True, 6, 2),
    ("Report Legend", "Normal", 8.5, _INK, False, 0, 2),
    ("Report Table", "Normal", 9, _INK, False, 1.5, 1.5),
    ("Report Code", "Normal", 9, _INK, False, 0, 4),
)
# A heading, a picture and a table's caption stay with the next paragraph.
_KEPT = ("Report Figure", "Report Figure Title", "Report Legend")


@dataclass(frozen=True)
class DocumentProperties:
    """The properties of a document.

    Attributes:
        title: Its title.
        author: Its author; "" without.
        organisation: The author's organisation; "" without.
        created: An ISO 8601 time, which is the only date in the file; "" where it is unknown.
        language: Of the text, such as "en-GB".
    """

    title: str
    author: str = ""
    organisation: str = ""
    created: str = ""
    language: str = LANGUAGE


def require_docx() -> Any:
    """The library that writes Word documents.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import docx
    except ImportError as error:
        raise missing_extra("docx", "python-docx") from error
    return docx


def new_document(properties: DocumentProperties) -> Any:
    """An empty A4 document with the styles, the page numbers and the properties of a report."""
    document = require_docx().Document()
    _set_page(document)
    _set_styles(document)
    _set_footer(document.sections[0].footer.paragraphs[0], properties.title)
    _set_properties(document, properties)
    return document


def document_bytes(document: Any, properties: DocumentProperties) -> bytes:
    """A document as a file, the same bytes for the same document."""
    written, result = io.BytesIO(), io.BytesIO()
    document.save(written)
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            data = _application(properties) if name == _APP else source.read(name)
            entry = zipfile.ZipInfo(name, _ZIP_DATE)
            entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
            target.writestr(entry, data)
    return result.getvalue()


def is_written_document(file: Any) -> bool:
    """Whether an open file is a document as `document_bytes` wrote it, which nobody edited since.

    Word and other editors put their own names and dates in its place.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if any(entry.date_time != _ZIP_DATE for entry in entries):
                return False
            if archive.getinfo(_APP).file_size > _LARGEST_APP:
                return False
            return f"<Application>{APPLICATION}</Application>".encode() in archive.read(_APP)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError):  # encrypted, or another method
        return False


def element(xml: str) -> Any:
    """An element of WordprocessingML, whose prefix is `w`."""
    from docx.oxml import parse_xml

    return parse_xml(re.sub(r"^<([\w:]+)", rf"<\1 {_NAMESPACE}", xml, count=1))


def add_field(paragraph: Any, code: str, shown: str) -> None:
    """Add a field that Word counts, such as "PAGE", and its value until then."""
    paragraph._p.append(
        element(f'<w:fldSimple w:instr=" {code} "><w:r><w:t>{escape(shown)}</w:t></w:r></w:fldSimple>')
    )


def _set_page(document: Any) -> None:
    from docx.shared import Mm

    page = document.sections[0]
    page.page_width, page.page_height = Mm(PAGE_WIDTH), Mm(PAGE_HEIGHT)
    page.left_margin = page.right_margin = Mm(MARGIN_X)
    page.top_margin = page.bottom_margin = Mm(MARGIN_Y)
    page.footer_distance = Mm(9)
    for setting in document.settings.element.iter("{*}compatSetting"):
        names = {name.rpartition("}")[2]: name for name in setting.keys()}  # noqa: SIM118 - an XML element
        if setting.get(names["name"]) == "compatibilityMode":
            setting.set(names["val"], "15")


def _set_styles(document: Any) -> None:
    from docx.enum.style import WD_STYLE_TYPE
    from docx.oxml.ns import qn
    from docx.shared import Pt, RGBColor

    styles = document.styles
    # A hundred table styles that nothing uses, among which every look-up searches.
    for unused in [
        each for each in styles if each.type == WD_STYLE_TYPE.TABLE and each.name != "Normal Table"
    ]:
        unused.delete()
    for language in styles.element.iter(qn("w:lang")):
        language.set(qn("w:val"), LANGUAGE)
    for name, base, size, colour, bold, before, after in _STYLES:
        style = styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH) if base else styles[name]
        if base:
            style.base_style, style.quick_style = styles[base], True
        font, shape = style.font, style.paragraph_format
        font.name, font.size, font.bold, font.italic = _FONT, Pt(size), bold, False
        font.color.rgb = RGBColor.from_string(colour)
        for spread in style.element.rPr.findall(qn("w:spacing")):
            style.element.rPr.remove(spread)
        fonts = style.element.rPr.rFonts
        for key in list(fonts.attrib):
            del fonts.attrib[key]
        for script in ("ascii", "hAnsi", "eastAsia", "cs"):
            fonts.set(qn(f"w:{script}"), _FONT)
        shape.space_before, shape.space_after = Pt(before), Pt(after)
        shape.line_spacing = 1.0 if name == "Report Table" else 1.1
        shape.keep_with_next = name in _KEPT or name.startswith("Heading") or None
    styles["Report Code"].font.name = "Courier New"
    for border in styles["Title"].element.findall(f".//{qn('w:pBdr')}"):
        border.getparent().remove(border)
    spacing = styles["Report Warning"].element.pPr.find(qn("w:spacing"))
    bar = f'<w:left w:val="single" w:sz="32" w:space="6" w:color="{_WARNING_RULE}"/>'
    spacing.addprevious(element(f"<w:pBdr>{bar}</w:pBdr>"))
    spacing.addprevious(element(f'<w:shd w:val="clear" w:color="auto" w:fill="{_WARNING}"/>'))
    link = styles.add_style("Hyperlink", WD_STYLE_TYPE.CHARACTER)
    link.font.underline, link.font.color.rgb = True, RGBColor.from_string(LINK)


def _set_footer(paragraph: Any, title: str) -> None:
    from docx.enum.text import WD_TAB_ALIGNMENT
    from docx.shared import Mm

    # The style's own stops are those of another page.
    paragraph.style.paragraph_format.tab_stops.clear_all()
    paragraph.paragraph_format.tab_stops.add_tab_stop(Mm(TEXT_WIDTH), WD_TAB_ALIGNMENT.RIGHT)
    short = title if len(title) <= 80 else f"{title[:79]}…"
    paragraph.add_run(f"{short}\t")
    add_field(paragraph, "PAGE", "1")
    paragraph.add_run(" / ")
    add_field(paragraph, "NUMPAGES", "1")


def _set_properties(document: Any, properties: DocumentProperties) -> None:
    core = document.core_properties
    core.title, core.author = properties.title[:_LONGEST_PROPERTY], properties.author[:_LONGEST_PROPERTY]
    core.last_modified_by, core.comments, core.keywords = core.author, "", ""
    core.language, core.revision = properties.language, 1
    core.created = core.modified = _time(properties.created)
    # The library's picture of its own template.
    relations = document.part.package.rels
    for key in [key for key, each in relations.items() if each.reltype.endswith("/thumbnail")]:
        del relations[key]


def _time(created: str) -> datetime:
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return datetime(*_ZIP_DATE)
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _application(properties: DocumentProperties) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<Properties '
        'xmlns="http://schemas.openxmlformats.org/officeDocument/2006/extended-properties">'
        f"<Application>{APPLICATION}</Application><Company>{escape(properties.organisation)}</Company>"
        "</Properties>"
    ).encode()
