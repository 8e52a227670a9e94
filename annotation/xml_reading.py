"""XML of unknown origin, without entities or references to other files."""

from __future__ import annotations

import io
from typing import Any

from euromine.support.errors import AnnotationError, MissingExtraError


def parse_xml(data: bytes, source: str) -> Any:
    """The root element of an XML document.

    Raises:
        AnnotationError: It defines entities or types of its own, or is not well-formed.
        MissingExtraError: defusedxml is not installed.
    """
    try:
        from defusedxml import ElementTree
        from defusedxml.common import DefusedXmlException
    except ImportError:
        raise MissingExtraError(
            "annotate: found no defusedxml on this machine; expected the extra `annotate`. Install it with "
            "pip install 'euromine[annotate]'."
        ) from None
    try:
        return ElementTree.parse(io.BytesIO(data), forbid_dtd=True).getroot()
    except DefusedXmlException:
        raise AnnotationError(
            f"{source}: found definitions of entities (a DTD), which can exhaust the memory or read other "
            "files; expected the plain XML that annotation tools write."
        ) from None
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        # LookupError and ValueError: an encoding that does not exist, or that Python cannot stream.
        raise AnnotationError(
            f"{source}: found text that is no well-formed XML ({error}); expected a whole export."
        ) from None
