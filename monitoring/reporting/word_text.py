"""Text of the report's page as paragraphs of a Word document: words in bold, code, links, colours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from xml.etree.ElementTree import Element

from .page_tree import classes
from .word_styles import MUTED, element

# Colours of words by their class, as on paper.
_COLOURS = {"gain": "B4520A", "loss": "2563C9", "undirected": "7450A3", "note": MUTED}
_SAFE_LINK = re.compile(r"(https?|mailto):", re.IGNORECASE)
_BACKGROUND = re.compile(r"background:\s*([^;]+)")
_SPACE = re.compile(r"[ \t\r\n\f]+")
_LONG_SPACE = "\N{EM SPACE}"


@dataclass(frozen=True)
class Words:
    """A piece of text in one look.

    Attributes:
        text: The text; a line break is a newline.
        bold: Whether it is bold.
        italic: Whether it is italic.
        code: Whether it is set in a fixed width.
        colour: Its colour as six hexadecimal digits; "" for the paragraph's.
        fill: The colour behind it; "" for none.
        link: The address that it leads to; "" for none.
    """

    text: str
    bold: bool = False
    italic: bool = False
    code: bool = False
    colour: str = ""
    fill: str = ""
    link: str = ""


def words_of(node: Element, look: Words | None = None) -> list[Words]:
    """The text of an element, white space as a browser shows it.

    Args:
        node: The element.
        look: The look of its text; by default that of the paragraph.
    """
    pieces, after_space = [], True
    for words in _pieces(node, look or Words("")):
        text = words.text
        if not words.fill and text != "\n":
            text = _SPACE.sub(" ", text)
            if after_space:
                text = text.removeprefix(" ")
        if text:
            pieces.append(replace(words, text=text))
            after_space = text[-1] in " \n"
    while pieces and not pieces[-1].text.strip(" \n") and not pieces[-1].fill:
        pieces.pop()
    if pieces and not pieces[-1].fill:
        pieces[-1] = replace(pieces[-1], text=pieces[-1].text.rstrip(" \n"))
    return pieces


def _pieces(node: Element, look: Words) -> Iterator[Words]:
    if "swatch" in classes(node):
        yield Words(_LONG_SPACE, fill=background(node))
        yield Words(" ")
        return
    if node.tag == "br":
        yield replace(look, text="\n")
        return
    look = _look(node, look)
    if node.tag == "small":
        yield replace(look, text="\n")
    yield replace(look, text=node.text or "")
    for child in node:
        yield from _pieces(child, look)
        yield replace(look, text=child.tail or "")


def _look(node: Element, look: Words) -> Words:
    colour = next((_COLOURS[name] for name in classes(node) if name in _COLOURS), look.colour)
    address = node.get("href", "") if node.tag == "a" else ""
    return replace(
        look,
        bold=look.bold or node.tag in ("b", "strong"),
        italic=look.italic or node.tag in ("em", "i"),
        code=look.code or node.tag in ("code", "pre"),
        colour=colour,
        link=address if _SAFE_LINK.match(address) else look.link,
    )


def write_words(paragraph: Any, pieces: Iterable[Words]) -> None:
    """Add text to a paragraph."""
    for words in pieces:
        run = paragraph.add_run(words.text)
        if words.bold:
            run.bold = True
        if words.italic:
            run.italic = True
        if words.code:
            run.font.name = "Courier New"
        if words.colour:
            from docx.shared import RGBColor

            run.font.color.rgb = RGBColor.from_string(words.colour)
        if words.fill:
            _fill(run, words.fill)
        if words.link:
            _link(paragraph, run, words.link)


def _fill(run: Any, colour: str) -> None:
    properties = run._r.get_or_add_rPr()
    properties.append(element('<w:bdr w:val="single" w:sz="4" w:space="0" w:color="888888"/>'))
    properties.append(element(f'<w:shd w:val="clear" w:color="auto" w:fill="{colour}"/>'))


def _link(paragraph: Any, run: Any, address: str) -> None:
    from docx.opc.constants import RELATIONSHIP_TYPE
    from docx.oxml.ns import qn

    key = paragraph.part.relate_to(address, RELATIONSHIP_TYPE.HYPERLINK, is_external=True)
    link = element("<w:hyperlink/>")
    link.set(qn("r:id"), key)
    paragraph._p.append(link)
    run.style = "Hyperlink"
    link.append(run._r)


def background(node: Element) -> str:
    """The background that an element's style sets, as six hexadecimal digits on white; "" without."""
    match = _BACKGROUND.search(node.get("style", ""))
    if match is None:
        return ""
    value = match[1].strip()
    if value.startswith("#"):
        digits = value[1:]
        return (digits if len(digits) == 6 else "".join(2 * digit for digit in digits)).upper()
    numbers = [float(number) for number in re.findall(r"[\d.]+", value)]
    opacity = numbers[3] if len(numbers) > 3 else 1.0
    return "".join(f"{round(255 + (number - 255) * opacity):02X}" for number in numbers[:3])
