"""The report as a Word document, made from the page for paper."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from PIL import Image

from .figure_pictures import (
    FigurePicture,
    chart_picture,
    embedded_picture,
    map_picture,
    require_resvg,
    small_picture,
)
from .page_tree import classes, page_tree, plain_text, with_class
from .word_styles import (
    LANGUAGE,
    MUTED,
    SHADE,
    TEXT_WIDTH,
    DocumentProperties,
    add_field,
    document_bytes,
    element,
    new_document,
    require_docx,
)
from .word_tables import add_table, set_widths, shade
from .word_text import Words, words_of, write_words

# Largest sizes in millimetres: of a map, of a chart alone, of a logo.
_MAP, _CHART, _LOGO = (150.0, 118.0), (125.0, 110.0), (55.0, 22.0)
_FLOW = (TEXT_WIDTH, 150.0)
# Beside a picture in a grid of pictures.
_GUTTER = 4.0
_YEARS_IN_A_ROW, _CARDS_IN_A_ROW = 4, 4
_DEEPEST_LIST = 3
_PARAGRAPHS = {"lead": "Report Lead", "note": "Report Note", "warning": "Report Warning"}
_PARAGRAPHS |= {"subtitle": "Subtitle", "byline": "Report Byline"}


def require_word() -> None:
    """Check that the libraries of the extra "docx" are there.

    Raises:
        MissingExtraError: One is not installed.
    """
    require_docx()
    require_resvg()


def word_report(page: str, *, author: str = "", organisation: str = "", created: str = "") -> bytes:
    """The static page of a report as a Word document (.docx).

    Args:
        page: The page, rendered for paper.
        author: The author in the document's properties.
        organisation: The company in the document's properties.
        created: The time of the series, ISO 8601, which becomes that of the document.

    Raises:
        MissingExtraError: A library of the extra "docx" is not installed.
    """
    require_word()
    root = page_tree(page)
    title = plain_text(next(root.iter("title")))
    properties = DocumentProperties(title, author, organisation, created, LANGUAGE)
    document = new_document(properties)
    (body,) = root.iter("body")
    _Writer(document).add_all(document, body)
    return document_bytes(document, properties)


class _Writer:
    """Adds the elements of a page to a document, in their order."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self.counts = {"Figure": 0, "Table": 0}
        self.pictures = 0
        self.in_comment = False
        self.adders: dict[str, Callable[[Any, Element], None]] = {
            "p": self.add_paragraph,
            "dl": self.add_cards,
            "ul": self.add_list,
            "ol": self.add_list,
            "table": self.add_table,
            "figure": self.add_figure,
            "img": self.add_logo,
            "blockquote": self.add_quotation,
            "pre": self.add_code,
            "footer": self.add_end,
        }

    def add_all(self, container: Any, node: Element) -> None:
        for child in node:
            self.add(container, child)

    def add(self, container: Any, node: Element) -> None:
        if node.tag in ("nav", "hr"):  # Word has a navigation of its own
            return
        if node.tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
            self.add_heading(container, node)
        elif node.tag in self.adders:
            self.adders[node.tag](container, node)
        elif "comment" in classes(node):
            self.in_comment = True
            self.add_all(container, node)
            self.in_comment = False
        elif "two" in classes(node) and self._is_grid(node):
            self.add_grid(container, node, 2)
        else:
            self.add_all(container, node)

    def add_heading(self, container: Any, node: Element) -> None:
        level = int(node.tag[1]) - 1
        if self.in_comment:
            style = f"Heading {min(max(level, 2), 4)}"
        else:
            style = f"Heading {level}" if level else "Title"
        write_words(container.add_paragraph(style=style), words_of(node))

    def add_paragraph(self, container: Any, node: Element) -> None:
        style = next((_PARAGRAPHS[name] for name in classes(node) if name in _PARAGRAPHS), None)
        pieces = words_of(node)
        if pieces:
            write_words(container.add_paragraph(style=style), pieces)

    def add_quotation(self, container: Any, node: Element) -> None:
        for child in node:
            if child.tag == "p":
                write_words(container.add_paragraph(style="Quote"), words_of(child))
            else:
                self.add(container, child)

    def add_code(self, container: Any, node: Element) -> None:
        container.add_paragraph("".join(node.itertext()).rstrip("\n"), style="Report Code")

    def add_end(self, container: Any, node: Element) -> None:
        paragraph = container.add_paragraph(style="Report Note")
        paragraph.paragraph_format.space_before = 220000
        write_words(paragraph, words_of(node))

    def add_list(self, container: Any, node: Element, depth: int = 1) -> None:
        kinds = classes(node)
        if "legend" in kinds:
            self.add_legend(container, node)
        elif "years" in kinds:
            self.add_grid(container, node, _YEARS_IN_A_ROW)
        else:
            name = f"List {'Number' if node.tag == 'ol' else 'Bullet'}"
            style = name if depth == 1 else f"{name} {min(depth, _DEEPEST_LIST)}"
            restarted = self._restarted(style, node) if node.tag == "ol" else None
            for item in node:
                self.add_item(container, item, style, depth, restarted)

    def add_item(self, container: Any, item: Element, style: str, depth: int, numbering: int | None) -> None:
        """An item: its own words, and the blocks inside it."""
        own = Element(item.tag)
        own.text = item.text
        blocks = []
        for child in item:
            if child.tag in ("ul", "ol", "pre", "blockquote", "table"):
                blocks.append(child)
            elif child.tag == "p" and len(own):
                own.extend((Element("br"), child))
            else:
                own.append(child)
        paragraph = container.add_paragraph(style=style)
        if numbering is not None:
            numbers = paragraph._p.get_or_add_pPr().get_or_add_numPr()
            numbers.get_or_add_ilvl().val, numbers.get_or_add_numId().val = 0, numbering
        write_words(paragraph, words_of(own))
        for block in blocks:
            if block.tag in ("ul", "ol"):
                self.add_list(container, block, depth + 1)
            else:
                self.add(container, block)

    def _restarted(self, style: str, node: Element) -> int:
        """A numbering of the style's form that begins anew."""
        from docx.oxml.ns import qn

        own = self.document.styles[style].element.pPr.numPr.numId.val
        definitions = self.document.part.numbering_part.element
        (of_style,) = [each for each in definitions.num_lst if each.numId == own]
        number = definitions.add_num(of_style.abstractNumId.val)
        start = node.get("start", "1")
        number.add_lvlOverride(0)._add_startOverride().set(qn("w:val"), start)
        return int(number.numId)

    def add_legend(self, container: Any, node: Element) -> None:
        paragraph = container.add_paragraph(style="Report Legend")
        for place, item in enumerate(node):
            write_words(paragraph, [Words("    ")] if place else [])
            words = words_of(item)
            for piece in words:
                # A colour and its name stay on one line.
                write_words(
                    paragraph, [Words(piece.text.replace(" ", "\N{NO-BREAK SPACE}"), fill=piece.fill)]
                )

    def add_table(self, container: Any, node: Element) -> None:
        caption = node.find("caption")
        if caption is not None:
            self.add_caption(container, caption, "Table")
        words = "" if caption is None else plain_text(caption)
        if add_table(container, node, words) is not None:
            _end(container)

    def add_caption(self, container: Any, node: Element, kind: str) -> None:
        self.counts[kind] += 1
        paragraph = container.add_paragraph(style="Caption")
        paragraph.paragraph_format.keep_with_next = True if kind == "Table" else None
        if kind == "Table":
            paragraph.paragraph_format.space_before = 100000
        paragraph.add_run(f"{kind} ").bold = True
        add_field(paragraph, f"SEQ {kind} \\* ARABIC", str(self.counts[kind]))
        paragraph.add_run(". ").bold = True
        write_words(paragraph, words_of(node))

    def add_figure(self, container: Any, node: Element, size: tuple[float, float] | None = None) -> None:
        for child in node:
            if child.tag == "h3":
                style = "Report Figure Title"
                write_words(container.add_paragraph(style=style), words_of(child))
            elif "frame" in classes(child):
                self.add_picture(container, map_picture(child), size or _MAP)
            elif child.tag == "svg":
                largest = _FLOW if "flow" in classes(child) else _CHART
                self.add_picture(container, chart_picture(child), size or largest)
            elif "picture" in classes(child):
                self.add_picture(container, small_picture(child), size or _MAP)
            elif child.tag == "figcaption" and "years" not in classes(node):
                self.add_caption(container, child, "Figure")
            else:
                self.add(container, child)

    def add_logo(self, container: Any, node: Element) -> None:
        self.add_picture(container, embedded_picture(node), _LOGO)

    def add_picture(self, container: Any, picture: FigurePicture, largest: tuple[float, float]) -> None:
        """Add a picture as large as it may be, with its text alternative."""
        from docx.shared import Mm

        with Image.open(io.BytesIO(picture.data)) as image:
            columns, rows = image.size
        width = min(largest[0], largest[1] * columns / rows)
        paragraph = container.add_paragraph(style="Report Figure")
        shape = paragraph.add_run().add_picture(io.BytesIO(picture.data), width=Mm(width))
        self.pictures += 1
        shape._inline.docPr.set("name", f"Picture {self.pictures}")
        shape._inline.docPr.set("descr", picture.alt)

    def _is_grid(self, node: Element) -> bool:
        """Whether an element holds several charts; maps and tables need the width of the page."""
        return len(node) > 1 and all(
            child.tag == "figure" and not any(with_class(child, "frame")) for child in node
        )

    def add_grid(self, container: Any, node: Element, columns: int) -> None:
        """Add figures beside one another."""
        width = TEXT_WIDTH / columns
        table = _grid(container, len(node), columns)
        for place, child in enumerate(node):
            cell = table.rows[place // columns].cells[place % columns]
            if child.tag == "figure":
                self.add_figure(cell, child, (width - _GUTTER, width))
            else:
                self._add_year(cell, child, width - _GUTTER)
            _finish_cell(cell)
        _end(container)

    def _add_year(self, cell: Any, node: Element, width: float) -> None:
        """The picture of a year with its area, or the words that there is none."""
        (picture,) = with_class(node, "picture")
        if "absent" in classes(picture):
            write_words(cell.add_paragraph(style="Report Note"), words_of(picture))
            return
        self.add_picture(cell, small_picture(picture), (width, 2 * width))
        for caption in node.iter("figcaption"):
            write_words(cell.add_paragraph(style="Report Legend"), words_of(caption))

    def add_cards(self, container: Any, node: Element) -> None:
        """Add the figures at a glance, each in a cell."""
        from docx.shared import Pt

        figures = list(node)
        columns = min(len(figures), _CARDS_IN_A_ROW)
        if not columns:
            return
        table = _grid(container, len(figures), columns, gap=True)
        for place, figure in enumerate(figures):
            cell = table.rows[place // columns].cells[place % columns]
            shade(cell, SHADE)
            name, value = figure.find("dt"), figure.find("dd")
            assert name is not None
            assert value is not None
            write_words(cell.add_paragraph(style="Report Legend"), words_of(name, Words("", colour=MUTED)))
            note = value.find("small")
            if note is not None:
                value.remove(note)
                note.tag = "span"
            paragraph = cell.add_paragraph(style="Report Legend")
            write_words(paragraph, words_of(value, Words("", bold=True)))
            for run in paragraph.runs:
                run.font.size = Pt(15)
            if note is not None:
                look = Words("", colour=MUTED)
                write_words(cell.add_paragraph(style="Report Legend"), words_of(note, look))
            _finish_cell(cell)
        _end(container)


def _grid(container: Any, count: int, columns: int, *, gap: bool = False) -> Any:
    """A table without lines that arranges `count` cells."""
    table = container.add_table(-(-count // columns), columns)
    table.autofit = False
    properties = table._tbl.tblPr
    if gap:
        white = '<w:insideV w:val="single" w:sz="48" w:space="0" w:color="FFFFFF"/>'
        between = '<w:insideH w:val="single" w:sz="48" w:space="0" w:color="FFFFFF"/>'
        properties.find("{*}tblLayout").addprevious(element(f"<w:tblBorders>{between}{white}</w:tblBorders>"))
    set_widths(table, [TEXT_WIDTH / columns] * columns)
    for row in table.rows:
        row._tr.get_or_add_trPr().append(element("<w:cantSplit/>"))
    return table


def _finish_cell(cell: Any) -> None:
    """Remove the empty paragraph that a new cell begins with, and let pages end between rows."""
    paragraphs: Sequence[Any] = cell.paragraphs
    if len(paragraphs) > 1:
        paragraphs[0]._p.getparent().remove(paragraphs[0]._p)
    for paragraph in cell.paragraphs:
        paragraph.paragraph_format.keep_with_next = False


def _end(container: Any) -> None:
    """End a table: without a paragraph between them, two would become one."""
    from docx.shared import Pt

    shape = container.add_paragraph().paragraph_format
    shape.space_after, shape.line_spacing = Pt(0), Pt(6)
