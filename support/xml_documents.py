"""XML of unknown origin, read without document types: no entities, no files beside it."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from .errors import DataError, EuroMineError


def parse_xml(data: bytes, name: str, error_class: type[EuroMineError] = DataError) -> Element:
    """The root of a document. Prefixes of namespaces are dropped.

    Args:
        data: The document; the caller limits its size.
        name: Its file, for errors.
        error_class: The error to raise.

    Raises:
        DataError: (`error_class`) It is damaged, or declares a document type, which may define entities that
            grow without bound or name other files.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()

    def refuse(*_: Any) -> None:
        raise error_class(
            f"{name}: found a document type in XML; expected plain elements. Get the file "
            "from its source again."
        )

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = lambda tag, attributes: builder.start(_local(tag), attributes)
    parser.EndElementHandler = lambda tag: builder.end(_local(tag))
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise error_class(f"{name}: found damaged XML ({error}); expected a whole file.") from error
    return builder.close()


def _local(tag: str) -> str:
    return tag.rpartition(":")[2]
