"""XML of unknown origin, read without document types: no entities, no files beside it."""

from __future__ import annotations

import io
from xml.etree.ElementTree import Element, ParseError

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from .errors import DataError, EuroMineError


def parse_xml(data: bytes, name: str, error_class: type[EuroMineError] = DataError) -> Element:
    """The root of a document. Namespaces are dropped.

    Args:
        data: The document; the caller limits its size.
        name: Its file, for errors.
        error_class: The error to raise.

    Raises:
        DataError: (`error_class`) It is damaged, or declares a document type, which may define entities that
            grow without bound or name other files.
    """
    try:
        root: Element = ElementTree.parse(io.BytesIO(data), forbid_dtd=True).getroot()
    except DefusedXmlException:
        raise error_class(
            f"{name}: found a document type in XML, which can exhaust the memory or read other files; "
            "expected plain elements. Get the file from its source again."
        ) from None
    except (ParseError, LookupError, ValueError) as error:
        # LookupError and ValueError: an encoding that does not exist, or that Python cannot stream.
        raise error_class(f"{name}: found damaged XML ({error}); expected a whole file.") from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root
