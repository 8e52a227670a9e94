"""The composition of a yearly image that `euromine acquire` made."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from euromine.acquisition.acquisition_record import year_of_tags
from euromine.support.errors import RecordError

from .manifest import CompositeRecord

logger = logging.getLogger(__name__)


def composite_record(path: Path | None, tags: Mapping[str, str]) -> CompositeRecord | None:
    """The composite in an image's file; None for any other image, and for one without a file of its own.

    Args:
        path: The image.
        tags: Its metadata.
    """
    if path is None or path.suffix.lower() not in (".tif", ".tiff") or not path.is_file():
        return None
    try:
        found = year_of_tags(dict(tags), path)
    except RecordError as error:
        logger.warning("%s The report does not say how this image was composed.", error)
        return None
    if found is None:
        return None
    return CompositeRecord(
        days=sorted({item.time[:10] for item in found.items}),
        catalogues=sorted({item.catalogue for item in found.items}),
        filled_share=found.filled_share,
    )
