"""Tables of the report's page as tables of a Word document, whose header rows repeat on every page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element
from xml.sax.saxutils import quoteattr

from .page_tree import classes, plain_text
from .word_styles import RULE, SHADE, TEXT_WIDTH, element
from .word_text import Words, background, words_of, write_words

# Largest number of columns for a size in points; more have the smallest.
_SIZES = ((8, 9.0), (12, 8.0), (16, 7.0), (24, 6.0))
_SMALLEST = 5.0
# The mean width of a character as a share of the size, and room beside the text in millimetres.
_CHARACTER, _PADDING = 0.6, 3.6
_POINT = 25.4 / 72
# A table of so few rows stays on one page.
_KEPT_ROWS = 14


def add_table(container: Any, table: Element, caption: str = "") -> Any:
    """Add a table to a document or a cell.

    Args:
        container: The document or the cell.
        table: The `table` element.
        caption: What it shows, as its text alternative.
    """
    rows = [row for row in table.iter("tr") if len(row)]
    header = sum(1 for head in table.iter("thead") for _ in head.iter("tr"))
    columns = max((sum(_span(cell) for cell in row) for row in rows), default=0)
    if not columns:
        return None
    size = next((points for most, points in _SIZES if columns <= most), _SMALLEST)
    made = container.add_table(len(rows), columns)
    widths = _widths(rows, columns, size)
    _prepare(made, widths, caption)
    for place, row in enumerate(rows):
        cells, column = made.rows[place].cells, 0
        for cell in row:
            span = _span(cell)
            target = cells[column] if span == 1 else cells[column].merge(cells[column + span - 1])
            _fill_cell(target, cell, _alignment(cell, table), size)
            target.paragraphs[0].paragraph_format.keep_with_next = (
                place < header or (len(rows) <= _KEPT_ROWS and place < len(rows) - 1) or None
            )
            column += span
        _mark_row(made.rows[place], is_header=place < header)
    return made


def _span(cell: Element) -> int:
    return int(cell.get("colspan", "1"))


def _alignment(cell: Element, table: Element) -> str:
    if "same" in classes(cell):
        return "CENTER"
    if not any("scope" in each.attrib for each in table.iter("th")):  # in a person's Markdown
        wanted = cell.get("style", "").removeprefix("text-align:").upper()
        return wanted if wanted in ("CENTER", "RIGHT") else "LEFT"
    left = cell.get("scope") in ("row", "rowgroup") or "text" in classes(cell) or "words" in classes(table)
    return "LEFT" if left else "RIGHT"


def _fill_cell(target: Any, cell: Element, alignment: str, size: float) -> None:
    from docx.enum.text import WD_PARAGRAPH_ALIGNMENT
    from docx.shared import Pt

    paragraph = target.paragraphs[0]
    paragraph.style = "Report Table"
    paragraph.alignment = WD_PARAGRAPH_ALIGNMENT[alignment]
    heading = cell.tag == "th" and "font-weight: 400" not in cell.get("style", "")
    write_words(paragraph, words_of(cell, Words("", bold=heading)))
    for run in paragraph.runs:
        run.font.size = Pt(size)
    fill = background(cell) or (SHADE if "same" in classes(cell) else "")
    if fill:
        shade(target, fill)


def shade(cell: Any, colour: str) -> None:
    """Fill a cell with a colour."""
    cell._tc.get_or_add_tcPr().append(element(f'<w:shd w:val="clear" w:color="auto" w:fill="{colour}"/>'))


def _mark_row(row: Any, *, is_header: bool) -> None:
    properties = row._tr.get_or_add_trPr()
    properties.append(element("<w:cantSplit/>"))
    if is_header:
        properties.append(element("<w:tblHeader/>"))
        for cell in row._tr.tc_lst:
            cell.get_or_add_tcPr().append(
                element(f'<w:tcBorders><w:bottom w:val="single" w:sz="12" w:color="{RULE}"/></w:tcBorders>')
            )


def _prepare(table: Any, widths: Sequence[float], caption: str) -> None:
    """Set a table's borders, its columns and its text alternative, in the order that the format asks for."""
    table.autofit = False
    properties = table._tbl.tblPr
    for old in list(properties):
        if old.tag.endswith(("}tblLook", "}tblStyle")):
            properties.remove(old)
    lines = "".join(
        f'<w:{side} w:val="single" w:sz="4" w:space="0" w:color="{RULE}"/>'
        for side in ("top", "bottom", "insideH")
    )
    properties.find("{*}tblLayout").addprevious(element(f"<w:tblBorders>{lines}</w:tblBorders>"))
    properties.append(
        element(
            '<w:tblCellMar><w:left w:w="70" w:type="dxa"/><w:right w:w="70" w:type="dxa"/></w:tblCellMar>'
        )
    )
    properties.append(element('<w:tblLook w:val="00A0" w:firstRow="1" w:firstColumn="1"/>'))
    set_widths(table, widths)
    if caption:
        properties.append(element(f"<w:tblDescription w:val={quoteattr(caption)}/>"))


def set_widths(table: Any, widths: Sequence[float]) -> None:
    """Set the widths of a table's columns in millimetres; editors read them from different places."""
    from docx.shared import Mm

    for column, width in zip(table.columns, widths, strict=True):
        column.width = Mm(width)
    for row in table.rows:
        for cell, width in zip(row.cells, widths, strict=True):
            cell.width = Mm(width)


def _widths(rows: Sequence[Element], columns: int, size: float) -> list[float]:
    """As wide as the longest text of each column; where these are too wide, the widest give way."""
    natural = [0.0] * columns
    for row in rows:
        column = 0
        for cell in row:
            if _span(cell) == 1:
                width = _PADDING + _CHARACTER * size * _POINT * (len(plain_text(cell)) + 2 * _swatches(cell))
                natural[column] = max(natural[column], width)
            column += _span(cell)
    if sum(natural) <= TEXT_WIDTH:
        return natural
    low, high = 0.0, max(natural)
    for _ in range(40):
        middle = (low + high) / 2
        fits = sum(min(width, middle) for width in natural) <= TEXT_WIDTH
        low, high = (middle, high) if fits else (low, middle)
    return [min(width, low) for width in natural]


def _swatches(cell: Element) -> int:
    return sum("swatch" in classes(each) for each in cell.iter())
