"""The report's page as a tree of elements, for documents that are made from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from xml.etree.ElementTree import Element, TreeBuilder

_VOID = {"br", "hr", "img", "input", "link", "meta"}
# The parser writes attributes in lower case; SVG distinguishes the cases.
_SVG_NAMES = {"viewbox": "viewBox", "preserveaspectratio": "preserveAspectRatio"}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def page_tree(page: str) -> Element:
    """A page whose elements are all closed -> its root.

    Characters that XML cannot hold, such as a form feed in a file's name, are left out.
    """
    parser = _Parser()
    parser.feed(page)
    parser.close()
    return parser.builder.close()


def classes(node: Element) -> set[str]:
    """The classes of an element."""
    return set(node.get("class", "").split())


def with_class(node: Element, name: str) -> Iterator[Element]:
    """The elements of a class inside an element, in their order."""
    return (each for each in node.iter() if name in classes(each))


def plain_text(node: Element) -> str:
    """The text of an element without its tags, each run of white space as one space."""
    return " ".join("".join(node.itertext()).split())


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.builder = TreeBuilder()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {_SVG_NAMES.get(name, name): _NOT_XML.sub("", value or "") for name, value in attrs}
        self.builder.start(tag, attributes)
        if tag in _VOID:
            self.builder.end(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.builder.end(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            self.builder.end(tag)

    def handle_data(self, data: str) -> None:
        self.builder.data(_NOT_XML.sub("", data))
